//! `rules`: the rules of the paper, as the page `docs/RULES.md`.

use super::failure::Failure;
use super::options::{Options, rule};
use super::stdout::print;
use crate::lab::rulebook;

/// Prints all rules, or one.
pub fn run(options: &Options) -> Result<(), Failure> {
    let text = match options.word(0) {
        None => rulebook::page(),
        Some(name) => rulebook::about(rule(name)?),
    };
    print(&text.map_err(Failure::Running)?)
}
