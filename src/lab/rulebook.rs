//! The rules as a page to read beside Figure 2: `docs/RULES.md`, made from the table of rules.
//!
//! The lines that it quotes are not written down either: the stories are run, and the first line of
//! theirs that follows from a rule is that rule's example.

use std::collections::BTreeMap;

use super::script::Lab;
use super::stories::{STORIES, Story};
use crate::node::rules::{About, Rule};

const OPENING: &str = "\
# The rules of Raft

*This page is what `raftlet rules` prints. It is made from the table in `src/node/rules.rs`; a test
holds the two together.*

Raft is safe because every server obeys a few dozen small rules, and most of them are a sentence of
Figure 2 of the paper (Ongaro and Ousterhout, \"In Search of an Understandable Consensus
Algorithm\", extended version). Here they stand in the order of that figure, box by box. Read them
with the figure beside you; those of Figure 13 follow at the end. Of each rule you find its place in
the figure and its section; what it asks; what falls if it alone is left out; the line of a log that
cites it, with the story in which it was written; and two commands.

- `raftlet break RULE` leaves the rule out and looks for a run in which that does harm. Predict the
  run before you look: that is the best exercise that this page has to offer.
- `cargo test --test paper NAME` runs the test that fails without the rule. Read it in
  `tests/paper.rs`, and the code at `obeys(Rule::NAME)`: each rule stands in one place, nearly all
  in `src/node.rs`.

Where no place in a figure is named, the figures do not have the rule: it is in the text.
";

/// The boxes of Figure 2 and that of Figure 13, each with its first rule.
const BOXES: [(Rule, &str); 9] = [
    (Rule::SaveVote, "State"),
    (Rule::RefuseOldCandidate, "RequestVote RPC"),
    (Rule::RefuseOldLeader, "AppendEntries RPC"),
    (Rule::ApplyInOrder, "Rules for Servers: All Servers"),
    (Rule::ResetTimerSparingly, "Rules for Servers: Followers"),
    (Rule::IncrementTerm, "Rules for Servers: Candidates"),
    (Rule::HeartbeatAtOnce, "Rules for Servers: Leaders"),
    (Rule::SnapshotCommittedOnly, "Snapshots: InstallSnapshot (Figure 13, §7)"),
    (Rule::RetryAppliedOnce, "Clients (§8, not in Figure 2)"),
];

/// A line that cites a rule, and where it was written.
type Quotes = BTreeMap<Rule, (String, &'static str)>;

/// The whole page.
pub fn page() -> Result<String, String> {
    let quotes = quotes()?;
    let mut text = OPENING.to_string();
    for rule in Rule::all() {
        if let Some((_, title)) = BOXES.iter().find(|(first, _)| *first == rule) {
            text += &format!("\n## {title}\n");
        }
        text += &format!("\n{}", section(rule, &quotes));
    }
    Ok(text)
}

/// What the page says of one rule.
pub fn about(rule: Rule) -> Result<String, String> {
    Ok(section(rule, &quotes()?))
}

fn section(rule: Rule, quotes: &Quotes) -> String {
    let About { place, section, sentence, falls, .. } = rule.about();
    let name = rule.name();
    let place = match place.is_empty() {
        true => section.to_string(),
        false if place.starts_with("InstallSnapshot") => format!("Figure 13, {place}; {section}"),
        false => format!("Figure 2, {place}; {section}"),
    };
    let mut text = format!("### {name}\n{place}\n\n{sentence}\n\n");
    text += &format!("- Without it **{falls}** falls: {}\n", falls.sentence());
    text += &format!("- The run that breaks it: `raftlet break {name}`\n");
    text += &format!("- The test that holds it: `cargo test --test paper {}`\n", rule.test_name());
    if let Some((line, story)) = quotes.get(&rule) {
        text +=
            &format!("- In the log (`raftlet replay {story}`):\n\n  ```text\n  {line}\n  ```\n");
    }
    text
}

/// The first line of the stories that cites each rule.
fn quotes() -> Result<Quotes, String> {
    let mut quotes = Quotes::new();
    for story in STORIES {
        quote(story, &mut quotes).map_err(|why| format!("{}: {why}", story.name))?;
    }
    Ok(quotes)
}

/// A story is followed to the place where it goes back, if it does: a lab has no memory.
fn quote(story: Story, quotes: &mut Quotes) -> Result<(), String> {
    let mut lab = Lab::default();
    let commands = story.script.lines().filter(|line| !line.starts_with('#'));
    for command in commands.take_while(|command| !command.starts_with("back")) {
        if command.starts_with("why") {
            continue;
        }
        for line in lab.tell(command)? {
            if let Some(rule) = line.rule {
                quotes.entry(rule).or_insert((line.text, story.name));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_the_boxes_of_figure_2_in_order_and_each_rule_once() {
        let page = page().unwrap();
        let titles: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(titles, BOXES.map(|(_, title)| title));
        let rules: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        assert_eq!(rules, Rule::all().map(Rule::name).collect::<Vec<_>>());
    }

    /// A box holds the rules whose place in Figure 2 names it, and those that the figure lacks.
    #[test]
    fn rules_stand_in_the_box_that_their_place_names() {
        let mut title = "";
        for rule in Rule::all() {
            title = BOXES.iter().find(|(first, _)| *first == rule).map_or(title, |found| found.1);
            let place = rule.about().place;
            let named = place.trim_end_matches(|c: char| c.is_ascii_digit()).trim();
            assert!(title.contains(named), "{}: {place} in {title}", rule.name());
            assert!(!place.is_empty() || !title.contains("RPC"), "{}", rule.name());
        }
    }

    #[test]
    fn quotes_are_lines_that_cite_their_rule() {
        let quotes = quotes().unwrap();
        assert!(quotes.len() >= 16, "{}", quotes.len());
        for (rule, (line, story)) in quotes {
            assert!(line.ends_with(&format!("({rule})")), "{story}: {line}");
        }
    }
}
