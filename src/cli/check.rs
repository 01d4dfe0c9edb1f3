//! `check`: did the properties of Figure 3 hold in a run that was written down?

use super::failure::Failure;
use super::options::Options;
use super::stdout::print;
use crate::lab::trace::check::{self, Verdict};

/// Reads all the files and judges them as one run.
pub fn run(options: &Options) -> Result<(), Failure> {
    let verdict = check::files(&options.words).map_err(Failure::Usage)?;
    print(&verdict.to_string())?;
    match verdict {
        Verdict::Held(seen) if seen.reported.is_empty() => Ok(()),
        Verdict::Held(_) => Err(Failure::Running("a property of the clients fell".to_string())),
        Verdict::Fell(violation, position, _) => {
            Err(Failure::Running(format!("{} fell at {position}", violation.property)))
        }
    }
}
