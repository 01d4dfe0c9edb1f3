//! `cargo bench`: what it prints of real clusters, and what it refuses. How fast they are is no
//! affair of a test.
//!
//! Cargo builds no benchmark for a test. So its code is a part of this program, and a test starts
//! this program again, as a process that does what `cargo bench` would.

#[path = "../benches/measurements/mod.rs"]
mod measurements;
mod support;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{self, Command};
use std::sync::{Arc, Mutex};
use std::thread;

use raftlet::json::{Json, Number};
use support::{Cluster, Scratch, exits, json_lines, number, output_of, raftlet_at};

/// The options of the benchmark that [`benchmark`] is to run.
const OPTIONS: &str = "RAFTLET_BENCH_OPTIONS";

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// `cargo bench -- …`, with these options.
fn bench(line: &str) -> Command {
    let itself = env::current_exe().expect("this program is there");
    let one_test = ["benchmark", "--exact", "--ignored", "--nocapture", "--quiet"];
    let mut command = raftlet_at(&itself, &one_test);
    command.env(OPTIONS, line);
    command
}

#[test]
#[ignore = "the other tests start it, each as a process of its own"]
fn benchmark() {
    let Ok(line) = env::var(OPTIONS) else { return };
    let done = measurements::run(line.split_whitespace().map(String::from).collect());
    process::exit(raftlet::cli::finish(done).into());
}

/// Runs a command of [`bench`]: what it prints on stdout and on stderr.
fn printed(command: &mut Command, code: i32) -> (String, String) {
    let (out, told) = exits(&output_of(command, ""), code);
    let out = out.strip_prefix("\nrunning 1 test\n").expect("the harness speaks first");
    (out.to_string(), told)
}

/// What it prints, a JSON object a line.
fn measured(line: &str) -> Vec<Json> {
    json_lines(&printed(&mut bench(line), 0).0)
}

fn text<'a>(json: &'a Json, name: &str) -> &'a str {
    json.get(name).and_then(Json::as_str).unwrap_or_else(|| panic!("no text {name} in {json}"))
}

/// A number that may have a fraction.
fn float(json: &Json, name: &str) -> f64 {
    match json.get(name) {
        Some(Json::Number(Number::Float(number))) => *number,
        Some(Json::Number(Number::Unsigned(number))) => *number as f64,
        _ => panic!("no number {name} in {json}"),
    }
}

#[test]
fn running_cluster_is_measured_run_by_run() {
    let cluster = Cluster::started(3, "");
    let leader = cluster.leader();
    let follower = cluster.address(if leader == 1 { 2 } else { 1 });
    let lines = measured(&format!(
        "--against {follower} --clients 2 --seconds 1 --runs 2 --mix mixed \
         --value-bytes 10 --json"
    ));
    let kinds: Vec<&str> = lines.iter().map(|line| text(line, "kind")).collect();
    assert_eq!(kinds, ["run", "run", "median"]);
    for line in &lines {
        assert_eq!((text(line, "target"), text(line, "load")), ("raftlet", "mixed"));
        assert_eq!((number(line, "clients"), float(line, "seconds")), (2, 1.0));
        let times = ["p50_ms", "p99_ms", "max_ms"].map(|name| float(line, name));
        assert!(0.0 < times[0] && times[0] <= times[1] && times[1] <= times[2], "{line}");
        let nodes = |name| line.get(name).and_then(Json::as_array).map(<[Json]>::len);
        let known = if cfg!(target_os = "linux") { 3 } else { 0 };
        assert_eq!(nodes("cpu_us_an_operation"), Some(known), "{line}");
        assert_eq!(nodes("memory_bytes"), Some(known), "{line}");
    }
    assert_eq!((number(&lines[0], "run"), number(&lines[1], "run")), (1, 2));
    let rates = ["least_operations_a_second", "operations_a_second", "most_operations_a_second"]
        .map(|name| float(&lines[2], name));
    assert!(rates[0] <= rates[1] && rates[1] <= rates[2], "{rates:?}");
    assert_eq!(cluster.get("bench-0000").len(), 10);
    assert_eq!(cluster.get("bench-9999").len(), 10);
}

#[test]
fn leader_counts_once_by_whatever_name_it_is_asked() {
    let cluster = Cluster::started(3, "");
    let address = cluster.address(cluster.leader());
    let port = address.rsplit_once(':').unwrap().1;
    for host in ["localhost", "127.0.0.1"] {
        let line = format!("--against {host}:{port} --clients 1 --seconds 0.1 --runs 1");
        let lines = measured(&(line + " --mix set --json"));
        assert_eq!(number(&lines[1], "nodes"), 3, "{}", lines[1]);
    }
}

#[test]
fn cluster_of_its_own_leaves_a_table_and_nothing_else() {
    let scratch = Scratch::new();
    let line = "--clients 1,2 --mix get --seconds 0.2 --runs 1 --nodes 1 --transport udp";
    let (table, told) = printed(bench(line).env("TMPDIR", &scratch.0), 0);
    assert_eq!(told, "");
    assert!(table.starts_with("a cluster of 1 of its own, over udp, in "), "{table}");
    let rows: Vec<Vec<&str>> = table.lines().skip(2).map(words).collect();
    assert_eq!(rows[0][..4], ["load", "clients", "target", "ops/s"], "{table}");
    assert_eq!(
        (&rows[1][..3], &rows[2][..3]),
        (&words("get 1 raftlet")[..], &words("get 2 raftlet")[..])
    );
    assert_eq!(rows.len(), 3, "{table}");
    assert_eq!(fs::read_dir(&scratch.0).expect("it is there").count(), 0);
}

/// What answers as an etcd would, and the bodies that it was sent.
fn etcd() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let (own_url, asked) = (url.clone(), Arc::new(Mutex::new(Vec::new())));
    let bodies = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (url, bodies) = (own_url.clone(), Arc::clone(&bodies));
            thread::spawn(move || answer(stream, &url, &bodies));
        }
    });
    (url, asked)
}

/// Answers until the client goes; an error means that it has gone.
fn answer(stream: TcpStream, url: &str, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? <= 2 {
                break;
            }
            if let Some(text) = line.strip_prefix("Content-Length: ") {
                length = text.trim().parse().expect("a length");
            } else if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_string();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let reply = match path.as_str() {
            "/v3/maintenance/status" => r#"{"leader":"7"}"#.to_string(),
            "/v3/cluster/member/list" => {
                format!(r#"{{"members":[{{"ID":"7","clientURLs":["{url}"]}}]}}"#)
            }
            "/v3/kv/put" | "/v3/kv/range" => {
                let body = String::from_utf8(body).expect("text");
                asked.lock().expect("no thread panics").push(format!("{path} {body}"));
                "{}".to_string()
            }
            _ => return Ok(()),
        };
        let length = reply.len();
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{reply}");
        reader.get_mut().write_all(reply.as_bytes())?;
    }
}

#[test]
fn etcd_is_measured_in_turn_with_the_same_keys_and_values() {
    let (url, asked) = etcd();
    let cluster = Cluster::started(3, "");
    let address = cluster.address(cluster.leader());
    let lines = measured(&format!(
        "--against {address} --etcd {url} --clients 1 --seconds 0.2 --runs 2 --mix set \
         --value-bytes 3 --json"
    ));
    let seen = lines.iter().map(|line| format!("{} {}", text(line, "kind"), text(line, "target")));
    let order = "run raftlet, run etcd, run raftlet, run etcd, median raftlet, median etcd";
    assert_eq!(seen.collect::<Vec<_>>().join(", "), order);
    let ours = &lines[4];
    let expected = float(ours, "operations_a_second") / float(&lines[5], "operations_a_second");
    assert!((float(ours, "rate_ratio") - expected).abs() < 0.001, "{ours}");
    assert!(ours.get("p50_ratio").is_some() && ours.get("p99_ratio").is_some(), "{ours}");
    assert!(lines[5].get("rate_ratio").is_none());

    // base64 of bench-0000, and of the three letters that raftlet got.
    let value = cluster.get("bench-0000");
    let asked = asked.lock().expect("no thread panics");
    let put = asked.iter().find_map(|asked| {
        let body = asked.strip_prefix("/v3/kv/put ")?;
        Json::parse(body).ok().filter(|body| text(body, "key") == "YmVuY2gtMDAwMA==")
    });
    let put = put.expect("the first key was written");
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = value.bytes().fold(0, |bits, byte| bits << 8 | u32::from(byte));
    let encoded = (0..4).map(|at| digits.as_bytes()[(bits >> (18 - 6 * at) & 63) as usize] as char);
    assert_eq!(text(&put, "value"), encoded.collect::<String>());
}

#[test]
fn killed_leaders_cost_time_and_no_write() {
    let lines = measured("--kill 2 --clients 2 --json");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((text(line, "kind"), number(line, "kills")), ("failover", 2));
    assert_eq!((number(line, "clients"), number(line, "lost")), (2, 0));
    assert!(number(line, "acknowledged") > 0, "{line}");
    let times = ["p50_ms", "p95_ms", "max_ms"].map(|name| float(line, name));
    assert!(0.0 < times[0] && times[0] <= times[1] && times[1] <= times[2], "{line}");
}

#[test]
fn clusters_of_several_sizes_stand_beside_the_model() {
    let lines = measured("--nodes 1,2 --clients 2 --mix set --seconds 0.2 --runs 2 --json");
    let seen = lines.iter().map(|line| format!("{} {}", text(line, "kind"), number(line, "nodes")));
    let order = "run 1, run 2, run 1, run 2, median 1, median 2";
    assert_eq!(seen.collect::<Vec<_>>().join(", "), order);
    let [one, two] = [&lines[4], &lines[5]];
    assert!(one.get("rate_ratio").is_none() && one.get("model_rate_ratio").is_none(), "{one}");
    assert_eq!(float(two, "model_rate_ratio"), 0.5);
    let expected = float(two, "operations_a_second") / float(one, "operations_a_second");
    assert!((float(two, "rate_ratio") - expected).abs() < 0.001, "{two}");
}

#[test]
fn history_is_measured_beside_a_new_cluster_and_then_a_start() {
    let lines = measured(
        "--history 10000 --nodes 1 --clients 2 --seconds 0.2 --runs 1 --value-bytes 10 \
         --json",
    );
    let kinds: Vec<&str> = lines.iter().map(|line| text(line, "kind")).collect();
    assert_eq!(kinds, ["run", "run", "history", "start"]);
    let [old, start] = [&lines[2], &lines[3]];
    assert!(number(old, "entries") >= 10_000, "{old}");
    let expected = float(old, "operations_a_second") / float(old, "new_operations_a_second");
    assert!((float(old, "rate_ratio") - expected).abs() < 0.001, "{old}");
    let disk = old.get("disk_bytes").and_then(Json::as_array).expect("of each node");
    let bytes: Vec<u64> = disk.iter().filter_map(Json::as_u64).collect();
    // A line has a key of ten letters, a value of ten, and some 45 around them.
    assert!(bytes.len() == 1 && bytes[0] > 650_000, "{old}");
    assert_eq!(number(start, "entries"), 10_000);
    assert!(matches!(number(start, "log_bytes"), 650_000..1_000_000), "{start}");
    let times = ["answer_ms", "write_ms"].map(|name| float(start, name));
    assert!(0.0 < times[0] && times[0] <= times[1], "{start}");
}

#[test]
fn floor_is_the_sum_of_its_parts() {
    let lines = measured("--floor --seconds 0.2 --runs 1 --json");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let [disks, trip, floor, p50, ratio] =
        ["majority_us", "round_trip_us", "floor_us", "p50_us", "ratio"]
            .map(|name| float(line, name));
    assert!((floor - (disks + 2.0 * trip)).abs() < 0.01, "{line}");
    assert!((ratio - p50 / floor).abs() < 0.001, "{line}");
}

#[test]
fn brain_is_measured_by_batches() {
    let lines = measured("--brain --clients 1,3 --seconds 0.1 --runs 1 --json");
    let batches: Vec<u64> = lines.iter().map(|line| number(line, "batch")).collect();
    assert_eq!(batches, [1, 3]);
    for line in &lines {
        assert!(float(line, "steps_a_second") > 0.0 && number(line, "steps") > 0, "{line}");
    }
}

#[test]
fn what_cannot_be_measured_is_said_in_a_line() {
    for (line, code, why) in [
        ("--kill 3 --etcd http://a:1", 2, "--etcd does not go with --kill: "),
        ("--mix all", 2, "--mix is set, get or mixed, not all: "),
        ("--nodes 3,5 --kill 3", 2, "--nodes takes one number here: "),
        ("--history 9999", 2, "--history is a whole number from 10000 to "),
        ("--against 127.0.0.1:1", 1, "cannot reach 127.0.0.1:1: "),
        ("--etcd http://127.0.0.1:1", 1, "cannot reach 127.0.0.1:1: "),
    ] {
        let (_, told) = printed(&mut bench(line), code);
        assert!(told.starts_with(&format!("raftlet: {why}")), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}
