//! `experiment`: measurements of the paper, taken again; what they mean stands in
//! `lab/experiment`.

mod real;

use std::fs;
use std::path::Path;

use super::failure::Failure;
use super::options::Options;
use super::progress::Progress;
use super::stdout::print;
use crate::config::nearest;
use crate::lab::experiment::election_timeout::{ABOUT, ROWS, trials};
use crate::lab::experiment::figure::{self, Curve};
use crate::lab::experiment::table::{Measured, table};
use crate::lab::experiment::times::Times;
use crate::node::rules::Rules;

const NAMES: [&str; 1] = ["election-timeout"];

const LIST: &str = "\
election-timeout  Figure 16: time without a leader after a crash, for ten election timeouts
";

/// `experiment [NAME]`.
pub fn run(options: &Options) -> Result<(), Failure> {
    let Some(name) = options.word(0) else { return print(LIST) };
    if !NAMES.contains(&name) {
        let what = format!("experiment {name:?}");
        return Err(Failure::Usage(nearest::unknown(&what, name, &NAMES)));
    }
    check(options)?;
    match options.real {
        true => print(&real::election_timeout(options.kills.unwrap_or(100))?),
        false => election_timeout(options),
    }
}

/// Options that mean nothing here would be passed over in silence.
fn check(options: &Options) -> Result<(), Failure> {
    let simulated = ["--trials", "--seed", "--out"];
    let given = |name: &&&str| options.given.iter().any(|given| given == *name);
    let wrong = match options.real {
        true => simulated.iter().find(given).map(|name| format!("{name} does not go with --real")),
        false => ["--kills"].iter().find(given).map(|name| format!("{name} needs --real")),
    };
    wrong.map_or(Ok(()), |wrong| Err(Failure::Usage(wrong)))
}

/// All rows in the simulator, as a table, and as a figure if one is wanted.
fn election_timeout(options: &Options) -> Result<(), Failure> {
    let draw = options.out.as_deref().map(drawing).transpose()?;
    let seed = options.seeds.map_or(1, |(seed, _)| seed);
    let mut progress = Progress::default();
    let mut rows = Vec::new();
    for row in &ROWS {
        let wanted = options.trials.unwrap_or(row.trials);
        let name = row.name();
        let trials = trials(row.timeout_ms, Rules::ALL, seed).take(wanted).enumerate();
        let times = Times::new(trials.map(|(trial, time)| {
            progress.show(|| format!("{name} ms: trial {} of {wanted}", trial + 1));
            time
        }));
        rows.push(Measured { name, times, paper: Some(row.paper) });
    }
    drop(progress);
    let caption = format!("{ABOUT}Seed {seed}.\n");
    let table = table(&rows, [">100 s", ">10 s"]);
    let title = "Figure 16: milliseconds without a leader after a crash, by election timeout";
    let text = format!("{title}\n\n{table}\n{caption}");
    print(&text)?;
    let Some((path, draw)) = options.out.as_deref().zip(draw) else { return Ok(()) };
    let curves: Vec<Curve> = ROWS.iter().zip(rows.iter().map(|row| &row.times)).collect();
    let drawn = draw(&figure::svg(&curves, &caption), &text);
    fs::write(path, drawn)
        .map_err(|error| Failure::Running(format!("cannot write {}: {error}", path.display())))?;
    print(&format!("The curves are drawn in {}.\n", path.display()))
}

/// How a file of this name is made of the figure and the text.
fn drawing(path: &Path) -> Result<fn(&str, &str) -> String, Failure> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => Ok(|svg, _| svg.to_string()),
        Some("html") => Ok(figure::html),
        _ => Err(Failure::Usage(format!(
            "--out is a file that ends in .svg or .html, not {}",
            path.display()
        ))),
    }
}
