//! Draws the cluster: a line a server, its log as the paper's boxes with the terms in them.
//!
//! The double line stands behind what the server counts as committed. Of the entries in a snapshot
//! only the last is drawn, behind a grey field.

use crate::lab::world::World;
use crate::node::message::{EntryId, Index, NodeId, Term};

/// The column of terms has room for this many digits, or for more if a term is longer.
const LEAST_DIGITS: usize = 3;

/// `n1  leader     term 4  voted n1    │1│2║4│`, under a line of indexes.
pub fn show(world: &World) -> Vec<String> {
    let rows: Vec<Row> = world.ids().filter_map(|id| row(world, id)).collect();
    let longest = rows.iter().map(Row::last_index).max().unwrap_or(0);
    let greatest_term = rows.iter().filter_map(|row| row.log.last()).max().copied().unwrap_or(0);
    let width = longest.to_string().len().max(greatest_term.to_string().len());
    let digits = rows.iter().map(|row| row.term.to_string().len()).fold(LEAST_DIGITS, usize::max);
    let mut lines = Vec::new();
    if longest > 0 {
        let indexes: Vec<String> = (1..=longest).map(|index| format!("{index:>width$}")).collect();
        lines.push(format!("{:1$} {2}", "", 33 + digits, indexes.join(" ")));
    }
    lines.extend(rows.iter().map(|row| row.draw(digits, width)));
    lines
}

struct Row {
    id: NodeId,
    role: &'static str,
    term: Term,
    vote: String,
    base: EntryId,
    log: Vec<Term>,
    commit_index: Index,
}

fn row(world: &World, id: NodeId) -> Option<Row> {
    let server = world.server(id)?;
    let saved = server.disk.safe();
    let (role, term, voted_for, entries, base, commit_index) = match &server.node {
        None => {
            let (base, entries) = (saved.snapshot.last_included, saved.entries.as_slice());
            ("crashed", saved.current_term, saved.voted_for, entries, base, base.index)
        }
        Some(node) => {
            let role = node.role.name().lower();
            let (entries, base) = (node.log.entries_from(1), node.log.base());
            (role, node.current_term, node.voted_for, entries, base, node.commit_index)
        }
    };
    let vote = voted_for.map_or("no vote".to_string(), |candidate| format!("voted {candidate}"));
    let log = entries.iter().map(|entry| entry.term).collect();
    Some(Row { id, role, term, vote, base, log, commit_index })
}

impl Row {
    fn last_index(&self) -> Index {
        self.base.index + self.log.len() as Index
    }

    fn draw(&self, digits: usize, width: usize) -> String {
        let Row { id, role, term, vote, base, log, commit_index } = self;
        let line = |index: Index| if index == *commit_index { '║' } else { '│' };
        let mut boxes = String::from(line(0));
        if base.index > 0 {
            boxes += &"░".repeat((base.index as usize - 1) * (width + 1));
            boxes += &format!("{:>width$}{}", base.term, line(base.index));
        }
        for (index, term) in (base.index + 1..).zip(log) {
            boxes += &format!("{term:>width$}{}", line(index));
        }
        let id = id.to_string();
        format!("{id:4}{role:11}term {term:<digits$} {vote:12}{boxes}")
    }
}

#[cfg(test)]
mod tests {
    use crate::lab::script::run;

    #[test]
    fn show_draws_logs_as_boxes_and_marks_what_is_committed() {
        let script = "log n1 = 1 1 12\nlog n2 = 1\nquietly timeout n1\nquietly run\n\
            crash n3\nshow\n";
        let output = run("test", script).unwrap();
        let drawn: Vec<&str> = output.lines().skip_while(|line| *line != "show").skip(1).collect();
        let expected = [
            "                                          1  2  3  4",
            "    n1  leader     term 13  voted n1    │ 1│ 1│12│13║",
            "    n2  follower   term 13  voted n1    ║ 1│ 1│12│13│",
            "    n3  crashed    term 13  voted n1    ║ 1│ 1│12│13│",
        ];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn show_makes_room_for_long_terms() {
        let output = run("test", "cluster 2\nlog n1 = 1\nterm n2 = 9000000\nshow\n").unwrap();
        let drawn: Vec<&str> = output.lines().skip_while(|line| *line != "show").skip(1).collect();
        let expected = [
            "                                             1",
            "    n1  follower   term 1       no vote     ║1│",
            "    n2  follower   term 9000000 no vote     ║",
        ];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn show_draws_a_snapshot_as_a_grey_field() {
        let script = "quietly timeout n1\nquietly run\nquietly propose n1 set x=1\nquietly run\n\
            quietly propose n1 set x=2\nquietly snapshot n1\nquietly snapshot n2\nshow\n";
        let output = run("test", script).unwrap();
        let drawn: Vec<&str> = output.lines().skip_while(|line| *line != "show").skip(1).collect();
        let expected = [
            "                                         1 2 3",
            "    n1  leader     term 1   voted n1    │░░1║1│",
            "    n2  follower   term 1   voted n1    │1║1│",
            "    n3  follower   term 1   voted n1    │1║1│",
        ];
        assert_eq!(drawn, expected);
    }
}
