//! A Postfix of a test's own: it takes mail over TLS from those who sign in, and relays it to an address of the test's.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::port::free_port;
use super::servers::temporary_dir;
use super::{eventually, leave_out};

/// The services that it takes to receive mail and to relay it. The first two columns of a port are filled in.
const SERVICES: &str = "
cleanup  unix n - n - 0 cleanup
qmgr     unix n - n 300 1 qmgr
tlsmgr   unix - - n 1000? 1 tlsmgr
rewrite  unix - - n - - trivial-rewrite
bounce   unix - - n - 0 bounce
defer    unix - - n - 0 bounce
trace    unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp     unix - - n - - smtp
error    unix - - n - - error
retry    unix - - n - - error
anvil    unix - - n - 1 anvil
scache   unix - - n - 1 scache
postlog  unix-dgram n - n - 1 postlogd
";

pub(crate) struct Postfix {
    /// Where STARTTLS is required.
    pub(crate) starttls: u16,
    /// Where TLS begins with the connection.
    pub(crate) tls: u16,
    /// The certificate of the authority that signed the server's, for `localhost`.
    pub(crate) authority: PathBuf,
    dir: PathBuf,
    master: Child,
    users: tokio::task::JoinHandle<()>,
}

impl Postfix {
    /// Starts one that lets `user` in with `password`, and relays to the SMTP server at `relay`, a port of this machine.
    /// `None`: it is left out.
    pub(crate) async fn start(user: &str, password: &str, relay: u16) -> Option<Self> {
        if !geteuid().is_root() {
            leave_out("postfix", "only root may run it");
            return None;
        }
        let (starttls, tls) = (free_port(), free_port());
        let (users, listening) = listen_for_users(user, password).await;
        let dir = temporary_dir();
        let authority = certify(&dir);
        lay_out(&dir, relay, users, [starttls, tls]);
        let (programs, libraries) = programs();
        let log = File::create(dir.join("log")).unwrap();
        let master = Command::new(programs.join("sbin/master"))
            .args(["-d", "-c"])
            .arg(dir.join("conf"))
            .env("LD_LIBRARY_PATH", libraries)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let postfix = Self { starttls, tls, authority, dir, master, users: listening };
        for port in [starttls, tls] {
            eventually("Postfix", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        }
        Some(postfix)
    }

    /// What it wrote down.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.users.abort();
        let group = Pid::from_raw(i32::try_from(self.master.id()).unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.master.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Where the daemons are, and what the linker must be told.
fn programs() -> (PathBuf, PathBuf) {
    let unpacked = herald::private::home().unwrap().join("pkg/mail/usr/lib/postfix");
    let places = [unpacked, "/usr/lib/postfix".into(), "/usr/libexec/postfix".into()];
    let found = places.into_iter().find(|place| place.join("sbin/master").is_file());
    let Some(found) = found else { panic!("no Postfix: run scripts/setup mail") };
    (found.clone(), found)
}

/// An authority, and a certificate that it made out for `localhost`.
fn certify(dir: &Path) -> PathBuf {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    fs::write(dir.join("certificate.pem"), certificate.pem()).unwrap();
    let file = dir.join("authority.pem");
    fs::write(&file, authority.pem()).unwrap();
    file
}

fn lay_out(dir: &Path, relay: u16, users: u16, [starttls, tls]: [u16; 2]) {
    let (programs, libraries) = programs();
    let (at, programs) = (dir.display(), programs.display());
    for name in ["conf", "data", "queue"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    let queues =
        "active bounce corrupt defer deferred flush hold incoming private maildrop public pid saved trace";
    for name in queues.split(' ') {
        fs::create_dir(dir.join("queue").join(name)).unwrap();
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let owned = queues.split(' ').filter(|name| *name != "pid").map(|name| format!("queue/{name}"));
    for name in owned.chain(["data".to_owned()]) {
        std::os::unix::fs::chown(dir.join(name), Some(nobody.uid.as_raw()), None).unwrap();
    }
    fs::set_permissions(dir.join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let main = format!(
        "compatibility_level = 3.6
         queue_directory = {at}/queue
         data_directory = {at}/data
         meta_directory = {at}/conf
         daemon_directory = {programs}/sbin
         command_directory = {programs}/../../sbin
         shlib_directory = {programs}
         import_environment = MAIL_CONFIG LD_LIBRARY_PATH={libraries}
         maillog_file = {at}/log
         maillog_file_prefixes = {at}
         mail_owner = nobody
         setgid_group = mail
         default_privs = daemon
         inet_interfaces = 127.0.0.1
         myhostname = mx.herald.test
         mydestination =
         default_transport = smtp:[127.0.0.1]:{relay}
         smtpd_peername_lookup = no
         smtpd_relay_restrictions = permit_sasl_authenticated, reject
         smtpd_tls_cert_file = {at}/certificate.pem
         smtpd_tls_key_file = {at}/key.pem
         smtpd_tls_auth_only = yes
         smtpd_sasl_auth_enable = yes
         smtpd_sasl_type = dovecot
         smtpd_sasl_path = inet:127.0.0.1:{users}\n",
        libraries = libraries.display(),
    );
    fs::write(dir.join("conf/main.cf"), main.replace("\n         ", "\n")).unwrap();
    let ports = format!(
        "127.0.0.1:{starttls} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt
         127.0.0.1:{tls} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n"
    );
    fs::write(dir.join("conf/master.cf"), ports.replace("\n         ", "\n") + SERVICES).unwrap();
}

/// Answers Postfix' questions about passwords, as Dovecot's authentication protocol 1.1 has it.
async fn listen_for_users(user: &str, password: &str) -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let right = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
    let user = user.to_owned();
    let listening = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, user.clone(), right.clone()));
        }
    });
    (port, listening)
}

async fn answer(stream: TcpStream, user: String, right: String) {
    let (read, mut write) = stream.into_split();
    let hello = "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t0\nDONE\n";
    if write.write_all(hello.as_bytes()).await.is_err() {
        return;
    }
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut words = line.split('\t');
        if words.next() != Some("AUTH") {
            continue;
        }
        let id = words.next().unwrap_or_default();
        let given = words.find_map(|word| word.strip_prefix("resp="));
        let verdict = if given == Some(&right) { "OK" } else { "FAIL" };
        if write.write_all(format!("{verdict}\t{id}\tuser={user}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}
