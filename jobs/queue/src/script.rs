//! The scripts, each of which looks who owns an entry before it touches it, so that a worker that was stopped for a
//! while cannot undo what others did meanwhile.

use std::sync::LazyLock;

use redis::{
    Cmd, ErrorKind, RedisResult, RedisWrite, Script, ServerErrorKind, ToRedisArgs, Value, aio::ConnectionLike,
};

use crate::id::EntryId;

pub(crate) static ACK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/ack.lua")));
pub(crate) static UNPACK: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/unpack.lua")));
pub(crate) static PARK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/park.lua")));
pub(crate) static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/renew.lua")));
pub(crate) static BURY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/bury.lua")));
pub(crate) static REPLAY: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/replay.lua")));
pub(crate) static FORGET: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/forget.lua")));

/// Goes with each pack, which is a few times as long: a pipeline cannot load a script in the middle.
pub(crate) const PACK: &str = include_str!("scripts/pack.lua");

/// The most entries that one script call handles: Redis answers nobody else meanwhile, and Lua can unpack fewer
/// than 8,000 values.
pub(crate) const CHUNK: usize = 500;

/// An entry's id as an argument of a command.
pub(crate) struct Arg(pub(crate) EntryId);

impl ToRedisArgs for Arg {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        out.write_arg_fmt(format_args!("{}-{}", self.0.ms, self.0.seq));
    }
}

/// A call of `script` with its keys; the arguments are added to it.
pub(crate) fn call(script: &Script, keys: &[&str]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys.len()).arg(keys);
    command
}

/// Runs a call, after loading the script where Redis does not have it (a new server, or `SCRIPT FLUSH`).
pub(crate) async fn run(
    script: &Script,
    call: &Cmd,
    connection: &mut (impl ConnectionLike + Send),
) -> RedisResult<Value> {
    match call.query_async(connection).await {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            script.load_async(connection).await?;
            call.query_async(connection).await
        }
        answer => answer,
    }
}
