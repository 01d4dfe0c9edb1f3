//! `rules`: the rules of the paper, as the page `docs/RULES.md`.

use super::options::Options;
use super::{Failure, print};
use crate::config::nearest::did_you_mean;
use crate::lab::rulebook;
use crate::node::rules::Rule;

/// Prints all rules, or one.
pub fn run(options: &Options) -> Result<(), Failure> {
    let text = match options.word(0) {
        None => rulebook::page(),
        Some(name) => rulebook::about(rule(name)?),
    };
    print(&text.map_err(Failure::Running)?)
}

/// The rule of this name; the error names those that were likely meant.
pub fn rule(name: &str) -> Result<Rule, Failure> {
    Rule::named(name).ok_or_else(|| {
        let names: Vec<String> = Rule::all().map(Rule::name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let hint = match did_you_mean(name, &names) {
            hint if hint.is_empty() => "; raftlet rules lists them".to_string(),
            hint => hint,
        };
        Failure::Usage(format!("there is no rule {name}{hint}"))
    })
}
