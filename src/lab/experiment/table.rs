//! What was measured, as a table of text: ours beside the paper's, in milliseconds.

use crate::lab::experiment::times::{Summary, Times};

/// One row: what it is called, what was measured, and what the paper has, if it has it.
#[derive(Clone, Debug)]
pub struct Measured {
    /// `150–300`.
    pub name: String,
    /// Ours.
    pub times: Times,
    /// The paper's.
    pub paper: Option<Summary>,
}

const HEADER: [&str; 2] = [
    "                          median                   mean            p99            max",
    "                trials    ours   paper  ratio    ours  paper    ours  paper    ours  paper",
];

/// The table. Trials that gave up are longer than what these two texts say: ours, the paper's.
pub fn table(rows: &[Measured], gave_up: [&str; 2]) -> String {
    let lines = rows.iter().map(|row| line(row, gave_up));
    let header = HEADER.map(String::from).into_iter();
    header.chain(lines).map(|line| line.trim_end().to_string() + "\n").collect()
}

fn line(row: &Measured, [our_end, paper_end]: [&str; 2]) -> String {
    let (ours, paper) = (row.times.summary(), row.paper);
    let us = |time| cell(Some(time), our_end);
    let they = |of: fn(Summary) -> f64| cell(paper.map(of), paper_end);
    format!(
        "{:<15} {:>6}  {:>6}  {:>6}  {:>5}  {:>6} {:>6}  {:>6} {:>6}  {:>6} {:>6}",
        row.name,
        row.times.sorted().len(),
        us(ours.median),
        they(|paper| paper.median),
        paper.map_or(String::new(), |paper| ratio(ours.median, paper.median)),
        us(ours.mean),
        they(|paper| paper.mean),
        us(ours.p99),
        they(|paper| paper.p99),
        us(ours.max),
        they(|paper| paper.max),
    )
}

fn cell(time: Option<f64>, gave_up: &str) -> String {
    match time {
        None => String::new(),
        Some(time) if time.is_finite() => format!("{time:.0}"),
        Some(_) => gave_up.to_string(),
    }
}

fn ratio(ours: f64, paper: f64) -> String {
    match ours.is_finite() && paper.is_finite() {
        true => format!("{:.2}", ours / paper),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, times: &[f64], paper: Option<f64>) -> Measured {
        let paper = paper.map(|it| Summary { median: it, mean: it, p99: it, max: it });
        let times = Times::new(times.iter().copied());
        Measured { name: name.to_string(), times, paper }
    }

    #[test]
    fn table_says_what_was_measured_and_what_gave_up() {
        let rows = [
            measured("150–150", &[f64::INFINITY], Some(f64::INFINITY)),
            measured("150–155", &[250.0, 300.4], Some(200.0)),
            measured("a write", &[1.0], None),
        ];
        let table = table(&rows, [">100 s", ">10 s"]);
        let cells = |line: usize| -> Vec<&str> {
            table.lines().nth(line).expect("a line").split_whitespace().collect()
        };
        let rest = ">100 s >10 s >100 s >10 s >100 s >10 s";
        assert_eq!(cells(2).join(" "), format!("150–150 1 >100 s >10 s {rest}"));
        assert_eq!(cells(3).join(" "), "150–155 2 250 200 1.25 275 200 300 200 300 200");
        assert_eq!(cells(4).join(" "), "a write 1 1 1 1 1");
    }
}
