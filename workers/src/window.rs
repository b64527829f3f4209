//! The hours in which copies go out.

pub use herald_jobs::window::Window;

/// The windows of the channels; `None`: always open. Copies in the lane of alerts go at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    /// Of e-mail.
    pub email: Option<Window>,
    /// Of SMS.
    pub sms: Option<Window>,
}
