//! `cargo bench -- --nodes 3,5,7`: what does a larger cluster cost?
//!
//! All clusters run at once, and are put under load in turn, run by run: those that have nothing to
//! do take hardly any of the machine. On one machine they share what in a real cluster each node
//! has of its own, the disk and the processor. So more nodes must be slower here, and the question
//! is by how much. The model knows the disk alone: it takes the line of each entry once for each
//! node, and syncs each batch as often.

use super::load::{self, Load};
use super::options::Options;
use super::report::{self, Summary};
use super::target::{Mix, Target};
use raftlet::cli::failure::Failure;
use raftlet::cli::node::with_members;
use raftlet::cli::stdout::{print, print_json};
use raftlet::json::Json;

/// Measures every load on a cluster of each size, and prints it beside the model.
pub fn run(options: &Options) -> Result<(), Failure> {
    let (mut clusters, mut targets) = (Vec::new(), Vec::new());
    for &nodes in &options.nodes {
        let mut cluster = super::own_cluster(options, nodes, super::TIMING)?;
        let target = Target::own(&mut cluster, options.value_bytes())?;
        clusters.push(cluster);
        targets.push(Target { name: called(nodes), ..target });
    }
    let first = options.nodes[0];
    if !options.json {
        let head = super::headline(options, &super::own(options));
        let ratios = ["ops/s", "model", "p50", "p99"];
        print(&(head + &report::header(&called(first), &ratios)))?;
    }
    targets.iter().try_for_each(load::fill)?;
    for load in super::loads(options) {
        let summaries = super::measure_load(options, &targets, &load)?;
        let base = &summaries[0];
        for (place, (target, summary)) in targets.iter().zip(&summaries).enumerate() {
            let beside = (place > 0).then(|| (base, model(load.mix, first, options.nodes[place])));
            match options.json {
                true => print_json(to_json(target, &load, summary, beside))?,
                false => print(&row(target, &load, summary, beside))?,
            }
        }
    }
    match options.json {
        true => Ok(()),
        false => print(&explained(first)),
    }
}

fn called(nodes: u64) -> String {
    match nodes {
        1 => "1 node".to_string(),
        _ => format!("{nodes} nodes"),
    }
}

fn explained(first: u64) -> String {
    format!(
        "\nThe model: one disk writes the line of each entry once for each node, and syncs each \
         batch as\noften. If it did nothing but that, N nodes would do {first}/N of what {first} \
         do.\n"
    )
}

/// How many operations so many nodes would do for one that the first cluster does, if the disk
/// alone counted. It says nothing of reads.
fn model(mix: Mix, first: u64, nodes: u64) -> Option<f64> {
    (mix == Mix::Set).then(|| first as f64 / nodes as f64)
}

/// What a cluster is compared with: the first one, and the model.
type Beside<'a> = Option<(&'a Summary, Option<f64>)>;

fn row(target: &Target, load: &Load, summary: &Summary, beside: Beside) -> String {
    let Some((base, model)) = beside else {
        let blank = [const { String::new() }; 4];
        return report::row(Some(load), &blank, &target.name, summary);
    };
    let [rate, p50, p99] = report::ratios(summary, base).map(report::times);
    let model = model.map_or(String::new(), report::times);
    report::row(None, &[rate, model, p50, p99], &target.name, summary)
}

fn to_json(target: &Target, load: &Load, summary: &Summary, beside: Beside) -> Json {
    let json = report::to_json(target, load, summary, beside.map(|(base, _)| base));
    match beside.and_then(|(_, model)| model) {
        Some(model) => with_members(json, [("model_rate_ratio", report::rounded(model))]),
        None => json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_is_what_one_disk_has_to_carry() {
        assert_eq!(model(Mix::Set, 3, 6), Some(0.5));
        assert_eq!(model(Mix::Get, 3, 6), None, "a read writes nothing");
    }
}
