//! `why`: the rule behind a line, in a sentence, and what falls without it.

use super::lab::Line;
use super::words::Words;
use crate::config::nearest::did_you_mean;
use crate::node::rules::{About, Property, Rule};

/// Explains what is asked for, or else all rules behind these lines.
pub fn why(last: &[Line], words: &mut Words) -> Result<Vec<String>, String> {
    if words.end().is_ok() {
        return why_all(last);
    }
    let asked = words.text("line or rule")?;
    if let Ok(number) = asked.parse::<usize>() {
        return why_line(last, number);
    }
    if let Some(property) = Property::named(asked) {
        return Ok(vec![promise(property)]);
    }
    let rules: Vec<Rule> = Rule::all().filter(|&rule| is_called(rule, asked)).collect();
    match rules[..] {
        [] => Err(unknown(asked)),
        _ => Ok(explained(&rules)),
    }
}

fn why_all(last: &[Line]) -> Result<Vec<String>, String> {
    let mut rules = Vec::new();
    for rule in last.iter().filter_map(|line| line.rule) {
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    let mut lines = explained(&rules);
    lines.extend(last.iter().find_map(|line| line.fell).map(promise));
    match lines.is_empty() {
        true => Err("no rule has been at work yet".to_string()),
        false => Ok(lines),
    }
}

fn why_line(last: &[Line], number: usize) -> Result<Vec<String>, String> {
    let line = number.checked_sub(1).and_then(|before| last.get(before));
    let Some(line) = line else {
        let count = last.len();
        return Err(format!("there is no line {number}: the last output with a rule has {count}"));
    };
    Ok(match (line.rule, line.fell) {
        (Some(rule), _) => explained(&[rule]),
        (None, Some(property)) => vec![promise(property)],
        (None, None) => vec![format!("no rule, this just happens: {}", line.text)],
    })
}

fn promise(property: Property) -> String {
    format!("{property}: {}", property.sentence())
}

/// By its name, its place in Figure 2, its section, or as lines cite it.
fn is_called(rule: Rule, asked: &str) -> bool {
    let About { place, section, .. } = rule.about();
    let (name, cited) = (rule.name(), rule.to_string());
    [name.as_str(), place, section, &cited].iter().any(|name| name.eq_ignore_ascii_case(asked))
}

fn explained(rules: &[Rule]) -> Vec<String> {
    let lines = |rule: &Rule| {
        let About { sentence, falls, .. } = rule.about();
        [
            format!("{} ({rule})", rule.name()),
            format!("  {sentence}"),
            format!("  Without it {falls} falls: {}", falls.sentence()),
        ]
    };
    rules.iter().flat_map(lines).collect()
}

fn unknown(asked: &str) -> String {
    let names = Rule::all().map(Rule::name).chain(Property::ALL.map(Property::name));
    let names: Vec<String> = names.collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    format!("there is no rule or property {asked}{}", did_you_mean(asked, &names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(asked: &str) -> Result<Vec<String>, String> {
        let line = |text: &str, rule| Line { text: text.to_string(), rule, fell: None };
        let last = [
            line("n2 votes", Some(Rule::UpToDateLog)),
            line("n1 leads", Some(Rule::Majority)),
            line("[4] n1 → n2", None),
            line("n3 votes", Some(Rule::UpToDateLog)),
        ];
        why(&last, &mut Words::of(asked))
    }

    #[test]
    fn why_explains_each_rule_of_the_last_lines_once() {
        let lines = explain("").unwrap();
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[0], "UpToDateLog (RequestVote 2, §5.4.1)");
        assert!(lines[1].starts_with("  A server votes only for a candidate whose log"));
        assert!(lines[2].starts_with("  Without it Leader Completeness falls: "));
        assert_eq!(lines[3], "Majority (Candidates 2, §5.2)");
        assert!(why(&[], &mut Words::of("")).is_err());
    }

    #[test]
    fn why_names_the_property_that_fell() {
        let fell = Some(Property::LogMatching);
        let last = [Line { text: "*** Log Matching is broken".to_string(), rule: None, fell }];
        let promise = "Log Matching: logs that share an entry are the same up to it.";
        assert_eq!(why(&last, &mut Words::of("")).unwrap(), [promise]);
        assert_eq!(why(&last, &mut Words::of("1")).unwrap(), [promise]);
    }

    #[test]
    fn why_takes_the_number_of_a_line() {
        assert_eq!(explain("2").unwrap()[0], "Majority (Candidates 2, §5.2)");
        assert_eq!(explain("3").unwrap(), ["no rule, this just happens: [4] n1 → n2"]);
        let error = "there is no line 5: the last output with a rule has 4";
        assert_eq!(explain("5").unwrap_err(), error);
        assert!(explain("0").is_err());
    }

    #[test]
    fn why_takes_a_name_a_citation_or_a_property() {
        let names = |asked| {
            let lines = explain(asked).unwrap();
            lines.iter().filter_map(|line| line.split_once(" (").map(|s| s.0.to_string())).collect()
        };
        let found: Vec<String> = names("noop");
        assert_eq!(found, ["NoOp"]);
        let found: Vec<String> = names("AppendEntries 2");
        assert_eq!(found, ["MatchPrevLog", "MatchPrevLogInHeartbeats"]);
        let found: Vec<String> = names("Candidates 2, §5.2");
        assert_eq!(found, ["CountVotesOfThisTerm", "CountVotersOnce", "Majority"]);
        assert!(explain("ElectionSafety").unwrap()[0].starts_with("Election Safety: at most one"));
    }

    #[test]
    fn why_offers_the_nearest_names() {
        let error = explain("LogMatchin").unwrap_err();
        assert_eq!(error, "there is no rule or property LogMatchin; did you mean LogMatching?");
        assert_eq!(explain("Luck").unwrap_err(), "there is no rule or property Luck");
    }
}
