//! How a verb fails, and the exit code for it.

use std::fmt;

use crate::client;

/// Why a verb was not done, in one line for people.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command line or the configuration is wrong.
    Usage(String),
    /// It is right, but could not be done.
    Running(String),
    /// There was no leader in time, or it may or may not have been done.
    NoAnswer(String),
}

impl Failure {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Running(_) => 1,
            Failure::Usage(_) => 2,
            Failure::NoAnswer(_) => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Failure::Usage(why) | Failure::Running(why) | Failure::NoAnswer(why) => {
                f.write_str(why)
            }
        }
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Failure {
        match error {
            client::Error::Refused(why) => Failure::Running(why),
            client::Error::NotDone(why) | client::Error::Unknown(why) => Failure::NoAnswer(why),
        }
    }
}
