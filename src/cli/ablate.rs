//! `break`: leaves a rule out of the node, and shows what falls.

use std::fs;
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::options::{Options, rule};
use super::progress::Progress;
use super::stdout::print;
use crate::lab::ablation::effect::{Effect, Spread, TRIALS, effect};
use crate::lab::ablation::{Run, Search};
use crate::lab::script;
use crate::node::rules::{Property, Rule};

/// A search that has found nothing ends after this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shows what falls without one rule; lists the rules; or, with `--all`, tries them all.
pub fn run(options: &Options) -> Result<(), Failure> {
    match options.word(0) {
        None if options.all && options.save.is_none() => all(),
        _ if options.all => Err(Failure::Usage(
            "--all stands alone: it tries every rule and saves none".to_string(),
        )),
        None => print(&list()),
        Some(name) => one(rule(name)?, options),
    }
}

fn list() -> String {
    let line = |rule: Rule| {
        let about = rule.about();
        format!("  {:26}{:28}{}\n", rule.name(), rule.to_string(), about.falls)
    };
    let lines: String = Rule::all().map(line).collect();
    let next = "raftlet break UpToDateLog leaves one out; --all tries them all.";
    let head = ("rule", "where it stands", "what falls without it");
    format!("  {:26}{:28}{}\n{lines}\n{next}\n", head.0, head.1, head.2)
}

// ---- One rule ----------------------------------------------------------------------------------

fn one(rule: Rule, options: &Options) -> Result<(), Failure> {
    print(&format!("{} ({rule})\n{}\n\n", rule.name(), rule.about().sentence))?;
    if rule.about().falls == Property::Liveness {
        if options.save.is_some() {
            let why = "nothing falls without a rule of liveness: there is no run to save";
            return Err(Failure::Usage(why.to_string()));
        }
        return print(&effect_in_words(&effect_of(rule)));
    }
    let (search, found_after) = search(rule);
    let Some(shortest) = &search.shortest else {
        return Err(Failure::Running(not_found(rule, &search)));
    };
    let text = played(&shortest.script())?;
    print(&format!(
        "Left out, {} falls: random run {} shows it, after {:.2} s.\nThe shortest of {} such runs \
         has {} commands:\n\n{text}",
        rule.about().falls,
        search.tried_first.unwrap_or_default(),
        found_after.as_secs_f64(),
        search.found,
        shortest.steps.len(),
    ))?;
    print(&obedient(shortest, &text)?)?;
    match &options.save {
        None => Ok(()),
        Some(path) => {
            let shown = path.display();
            fs::write(path, &text)
                .map_err(|error| Failure::Running(format!("cannot write {shown}: {error}")))?;
            print(&format!("\nSaved: raftlet lab {shown} plays it again.\n"))
        }
    }
}

/// The same commands with the rule, from where they lead elsewhere.
fn obedient(run: &Run, without: &str) -> Result<String, Failure> {
    let text = played(&run.obedient_script())?;
    let left_out = format!("without {}", run.rule.name());
    let told: Vec<&str> = without.lines().filter(|line| *line != left_out).collect();
    let lines: Vec<&str> = text.lines().collect();
    // A line that does not cite the rule any more says the same.
    let is_same = |&(line, other): &(&&str, &&str)| uncited(line) == uncited(other);
    let same = lines.iter().zip(&told).take_while(is_same).count();
    // From the command under which the first other line stands, in either of the two.
    let is_command = |line: &&str| !line.starts_with(' ');
    let command_before = |text: &[&str]| text[..=same].iter().rposition(is_command);
    let first = command_before(&lines).min(command_before(&told)).unwrap_or_default();
    let rest: String = lines[first..].iter().map(|line| format!("{line}\n")).collect();
    Ok(format!("\nThe same commands with the rule, from where they lead elsewhere:\n\n{rest}"))
}

/// The line without the rule that it cites in brackets at its end.
fn uncited(line: &str) -> &str {
    line.strip_suffix(')').and_then(|line| line.rsplit_once(" (")).map_or(line, |(line, _)| line)
}

fn played(script: &str) -> Result<String, Failure> {
    script::run("found", script).map_err(Failure::Running)
}

fn not_found(rule: Rule, search: &Search) -> String {
    let (falls, tried) = (rule.about().falls, search.tried);
    format!("{falls} did not fall without {} in {tried} random runs", rule.name())
}

/// Searches until the run is short, or patience ends. When the first was found, too.
fn search(rule: Rule) -> (Search, Duration) {
    let (mut progress, began) = (Progress::default(), Instant::now());
    let mut search = Search::new(rule);
    let mut found_after = None;
    while !search.is_done() && (search.found > 0 || began.elapsed() < PATIENCE) {
        search.try_one();
        if search.found > 0 {
            found_after.get_or_insert(began.elapsed());
        }
        progress.show(|| {
            format!("{}: {} runs tried, {} broken", rule.name(), search.tried, search.found)
        });
    }
    (search, found_after.unwrap_or_default())
}

// ---- Rules of liveness -------------------------------------------------------------------------

fn effect_of(rule: Rule) -> Effect {
    effect(rule).expect("a test says that every rule of liveness has a scene")
}

fn effect_in_words(effect: &Effect) -> String {
    let line = |name, spread: &Spread| {
        let Spread { median, p99, never_percent } = spread;
        let shown = |number: &u64| match never_percent {
            100 => "never".to_string(),
            _ => number.to_string(),
        };
        format!("  {name:10}{:>8}{:>8}\n", shown(median), shown(p99))
    };
    format!(
        "Left out, nothing false is committed, but life is worse. Measured in {TRIALS} trials, \
         {}:\n\n  {:10}{:>8}{:>8}\n{}{}",
        effect.what,
        "",
        "median",
        "p99",
        line("with it", &effect.obeyed),
        line("without", &effect.left_out),
    )
}

// ---- All rules ---------------------------------------------------------------------------------

/// A line a rule. An error if a property stands that should have fallen.
fn all() -> Result<(), Failure> {
    print(&format!(
        "{:26}{:24}{:>8}{:>10}{:>10}\n",
        "without", "falls", "seconds", "runs", "commands"
    ))?;
    let mut standing = Vec::new();
    for rule in Rule::all() {
        let falls = rule.about().falls;
        if falls == Property::Liveness {
            print(&liveness_line(rule))?;
            continue;
        }
        let (search, found_after) = search(rule);
        let Some(shortest) = &search.shortest else {
            standing.push(not_found(rule, &search));
            print(&format!("{:26}{:24}not found\n", rule.name(), falls.to_string()))?;
            continue;
        };
        print(&format!(
            "{:26}{:24}{:>8.2}{:>10}{:>10}\n",
            rule.name(),
            falls.to_string(),
            found_after.as_secs_f64(),
            search.tried_first.unwrap_or_default(),
            shortest.steps.len()
        ))?;
    }
    match standing.is_empty() {
        true => print("\nraftlet break RULE shows the run.\n"),
        false => Err(Failure::Running(standing.join("; "))),
    }
}

fn liveness_line(rule: Rule) -> String {
    let Effect { what, obeyed, left_out } = effect_of(rule);
    let shown = |spread: &Spread| match spread.never_percent {
        100 => "never".to_string(),
        _ => spread.p99.to_string(),
    };
    format!(
        "{:26}{:24}{} instead of {} (p99) {what}\n",
        rule.name(),
        Property::Liveness.to_string(),
        shown(&left_out),
        shown(&obeyed)
    )
}
