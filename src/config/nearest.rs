//! Names that were likely meant, for whoever wrote one that nobody knows.
//!
//! How near two words are is the number of letters between them (Levenshtein's distance). The error
//! that names the unknown word offers what is near enough to be a slip of the hand.

/// The one of these names that was likely meant, if one is near enough.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let nearest = *known.iter().min_by_key(|known| edit_distance(name, known))?;
    is_near(name, nearest).then_some(nearest)
}

/// `; did you mean deliver or delay?`: up to three names that are near enough, or of which a part
/// was written; letter case aside. Empty if there are none.
pub fn did_you_mean(name: &str, known: &[&str]) -> String {
    let name = name.to_ascii_lowercase();
    let mut near: Vec<(usize, &str)> = Vec::new();
    for &known in known {
        let lower = known.to_ascii_lowercase();
        let is_part = name.len() >= 3 && lower.contains(&name);
        if is_part || is_near(&name, &lower) {
            let distance = edit_distance(&name, &lower);
            let place = near.partition_point(|&(other, _)| other <= distance);
            near.insert(place, (distance, known));
        }
    }
    let near: Vec<&str> = near.into_iter().map(|(_, known)| known).take(3).collect();
    match near.split_last() {
        None => String::new(),
        Some((only, [])) => format!("; did you mean {only}?"),
        Some((last, others)) => format!("; did you mean {} or {last}?", others.join(", ")),
    }
}

/// The line about a name that nobody knows: the known ones, and the one that was likely meant.
pub fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let hint = match nearest(name, known) {
        Some(nearest) => format!("; did you mean {nearest}?"),
        None => String::new(),
    };
    format!("unknown {what}: known are {}{hint}", known.join(", "))
}

fn is_near(name: &str, known: &str) -> bool {
    edit_distance(name, known) <= 1 + known.len() / 4
}

/// How many letters must be added, removed or changed to make one word the other (Levenshtein):
/// `row[j]` is the distance between what was read of `a` and the first `j` letters of `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for j in 1..=b.len() {
            let changed = diagonal + usize::from(letter != b[j - 1]);
            diagonal = row[j];
            row[j] = changed.min(row[j] + 1).min(row[j - 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_counts_letters_added_removed_and_changed() {
        let cases = [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("node", "nodes", 1),
            ("nnodes", "nodes", 1),
            ("modes", "nodes", 1),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ];
        for (a, b, distance) in cases {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        }
    }

    #[test]
    fn nearest_is_none_if_all_are_far() {
        assert_eq!(nearest("nodess", &["node", "nodes"]), Some("nodes"));
        assert_eq!(nearest("transport", &["node", "nodes"]), None);
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn did_you_mean_offers_up_to_three_the_nearest_first() {
        let known = ["NoOp", "UpToDateLog", "KeepVoteForTerm", "OneVotePerTerm", "SaveVote"];
        assert_eq!(did_you_mean("uptodatelogs", &known), "; did you mean UpToDateLog?");
        assert_eq!(did_you_mean("UpTo", &known), "; did you mean UpToDateLog?");
        let votes = "; did you mean SaveVote, OneVotePerTerm or KeepVoteForTerm?";
        assert_eq!(did_you_mean("Vote", &known), votes);
        assert_eq!(did_you_mean("Luck", &known), "");
    }
}
