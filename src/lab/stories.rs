//! The stories of the course: scripts with prose, which show one thing each on the real code.
//!
//! Each is a file of `stories/`, built in, with its output as it must be: a test runs them all. A
//! comment that stands behind an empty line begins a new stage, and there `raftlet replay` pauses.

use crate::nearest::did_you_mean;

/// A story.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// Its name, which is its file's.
    pub name: &'static str,
    /// The script.
    pub text: &'static str,
}

const fn story(name: &'static str, text: &'static str) -> Story {
    Story { name, text }
}

/// All of them, in the order in which a course may take them.
pub const STORIES: [Story; 18] = [
    story("election", include_str!("stories/election.txt")),
    story("split-vote", include_str!("stories/split-vote.txt")),
    story("forgotten-vote", include_str!("stories/forgotten-vote.txt")),
    story("replication", include_str!("stories/replication.txt")),
    story("log-repair", include_str!("stories/log-repair.txt")),
    story("figure-7", include_str!("stories/figure-7.txt")),
    story("late-message", include_str!("stories/late-message.txt")),
    story("up-to-date", include_str!("stories/up-to-date.txt")),
    story("commit-rule", include_str!("stories/commit-rule.txt")),
    story("figure-8", include_str!("stories/figure-8.txt")),
    story("stale-leader", include_str!("stories/stale-leader.txt")),
    story("lost-majority", include_str!("stories/lost-majority.txt")),
    story("minority-partition", include_str!("stories/minority-partition.txt")),
    story("disruptive-server", include_str!("stories/disruptive-server.txt")),
    story("no-op", include_str!("stories/no-op.txt")),
    story("deposed-read", include_str!("stories/deposed-read.txt")),
    story("duplicated-retry", include_str!("stories/duplicated-retry.txt")),
    story("snapshot", include_str!("stories/snapshot.txt")),
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
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
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
            assert!(story.text.starts_with("# "), "{}", story.name);
            let length = story.title().chars().count();
            assert!((20..=80).contains(&length), "{}: {length}", story.name);
        }
    }

    #[test]
    fn stages_begin_at_comments_behind_empty_lines_and_lose_nothing() {
        let text = "# A\n#\n# a\nshow\n# b\n\nshow\n\n# B\nshow\n";
        assert_eq!(stages(text), ["# A\n#\n# a\nshow\n# b\n\nshow\n\n", "# B\nshow\n"]);
        for story in STORIES {
            let stages = stages(story.text);
            assert!(stages.len() >= 4, "{}", story.name);
            assert_eq!(stages.concat(), story.text);
        }
    }
}
