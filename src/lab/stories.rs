//! The stories of the course: scripts with prose, which show one thing each on the real code.
//!
//! Each is a file of `stories/` with its output as it must be: a test runs them all. Built in is
//! what a run needs, the commands and the prose: the output, two thirds of the files, comes anew
//! from each run. A comment that stands behind an empty line begins a new stage, and there `raftlet
//! replay` pauses.

use crate::config::nearest::did_you_mean;

/// A story.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// Its name, which is its file's.
    pub name: &'static str,
    /// The script, without output.
    pub script: &'static str,
}

/// The story of this file.
macro_rules! story {
    ($name:literal) => {{
        const FILE: &[u8] = include_bytes!(concat!("stories/", $name, ".txt"));
        const LENGTH: usize = without_output::<{ FILE.len() }>(FILE).1;
        const SCRIPT: [u8; LENGTH] = without_output(FILE).0;
        match str::from_utf8(&SCRIPT) {
            Ok(script) => Story { name: $name, script },
            Err(_) => panic!("a story is UTF-8"),
        }
    }};
}

/// The lines of a text that are not indented, and how many bytes they are. The compiler runs it.
const fn without_output<const SPACE: usize>(text: &[u8]) -> ([u8; SPACE], usize) {
    let mut kept = [0; SPACE];
    let (mut length, mut at, mut is_output) = (0, 0, false);
    while at < text.len() {
        if at == 0 || text[at - 1] == b'\n' {
            is_output = text[at] == b' ';
        }
        if !is_output {
            kept[length] = text[at];
            length += 1;
        }
        at += 1;
    }
    (kept, length)
}

/// All of them, in the order in which a course may take them.
pub const STORIES: [Story; 19] = [
    story!("election"),
    story!("split-vote"),
    story!("forgotten-vote"),
    story!("replication"),
    story!("log-repair"),
    story!("figure-7"),
    story!("late-message"),
    story!("up-to-date"),
    story!("commit-rule"),
    story!("figure-8"),
    story!("stale-leader"),
    story!("lost-majority"),
    story!("minority-partition"),
    story!("disruptive-server"),
    story!("term-far-ahead"),
    story!("no-op"),
    story!("deposed-read"),
    story!("duplicated-retry"),
    story!("snapshot"),
];

impl Story {
    /// The story of this name.
    pub fn named(name: &str) -> Result<Story, String> {
        STORIES.into_iter().find(|story| story.name == name).ok_or_else(|| {
            let names = STORIES.map(|story| story.name);
            let hint = match did_you_mean(name, &names) {
                hint if hint.is_empty() => "; raftlet replay lists them".to_string(),
                hint => hint,
            };
            format!("there is no story {name}{hint}")
        })
    }

    /// What it is about, in one line: its first.
    pub fn title(self) -> &'static str {
        self.script.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }
}

/// A script's text, cut where a comment stands behind an empty line.
pub fn stages(text: &str) -> Vec<&str> {
    let mut stages = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find("\n\n#") {
        let (stage, next) = rest.split_at(end + 2);
        stages.push(stage);
        rest = next;
    }
    stages.push(rest);
    stages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_offers_the_nearest() {
        assert_eq!(Story::named("figure-7").map(|story| story.name), Ok("figure-7"));
        let error = |name| Story::named(name).map(|story| story.name).unwrap_err();
        assert_eq!(
            error("figure-9"),
            "there is no story figure-9; did you mean figure-7 or figure-8?"
        );
        assert_eq!(error("joy"), "there is no story joy; raftlet replay lists them");
    }

    #[test]
    fn title_is_the_first_line_and_fits_a_terminal() {
        for story in STORIES {
            assert!(story.script.starts_with("# "), "{}", story.name);
            let length = story.title().chars().count();
            assert!((20..=80).contains(&length), "{}: {length}", story.name);
        }
    }

    #[test]
    fn stages_begin_at_comments_behind_empty_lines_and_lose_nothing() {
        let text = "# A\n#\n# a\nshow\n# b\n\nshow\n\n# B\nshow\n";
        assert_eq!(stages(text), ["# A\n#\n# a\nshow\n# b\n\nshow\n\n", "# B\nshow\n"]);
        for story in STORIES {
            let stages = stages(story.script);
            assert!(stages.len() >= 4, "{}", story.name);
            assert_eq!(stages.concat(), story.script);
        }
    }
}
