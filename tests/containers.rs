//! The files of `docker/` against the program that they start: five nodes that agree on who they
//! are, reached from this machine alone. Containers themselves are not run here.
//!
//! compose.yaml is read by its lines, for its form is ours; `.ci/run` shows it to a YAML reader.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use raftlet::config::{FaultsFrom, environment};
use raftlet::node::message::NodeId;

fn read(path: &str) -> String {
    fs::read_to_string(path).expect(path)
}

/// The lines below a header that are indented more than it, without comments.
fn below<'a>(lines: &[&'a str], header: &str) -> Vec<&'a str> {
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let at = lines.iter().position(|line| *line == header);
    let at = at.unwrap_or_else(|| panic!("no {header:?} in {lines:#?}"));
    let rest = lines[at + 1..].iter().copied();
    let rest = rest.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    rest.take_while(|line| indentation(line) > indentation(header)).collect()
}

/// `NAME: value`, one a line.
fn variables(lines: &[&str]) -> BTreeMap<String, String> {
    let pairs = lines.iter().filter_map(|line| line.trim().split_once(": "));
    pairs.map(|(name, value)| (name.to_string(), value.trim_matches('"').to_string())).collect()
}

#[test]
fn compose_has_five_nodes_that_agree() {
    let text = read("docker/compose.yaml");
    let lines: Vec<&str> = text.lines().collect();
    let services = below(&lines, "services:");
    let names = services.iter().filter(|line| line.starts_with("  n"));
    let expected = ["  node1:", "  node2:", "  node3:", "  node4:", "  node5:"];
    assert_eq!(names.copied().collect::<Vec<_>>(), expected);
    let volumes = below(&lines, "volumes:");
    let mut registries = BTreeSet::new();
    for id in 1..=5 {
        let port = 5000 + id;
        let service = below(&services, &format!("  node{id}:"));
        assert_eq!(service[0], "    <<: *node");
        let ports = [format!("      - \"127.0.0.1:{port}:{port}\"")];
        assert_eq!(below(&service, "    ports:"), ports, "this machine alone reaches it");
        assert_eq!(below(&service, "    volumes:"), [format!("      - data{id}:/data")]);
        assert!(volumes.contains(&&format!("  data{id}:")[..]), "{volumes:?}");

        let own = below(&service, "    environment:");
        assert_eq!(own[0], "      <<: *environment");
        let mut environment = variables(&below(&lines, "x-environment: &environment"));
        environment.extend(variables(&own));
        let node = environment::read(|name| environment.get(name).cloned());
        let (found, config) = node.expect("it is sound").expect("NODE_ID is set");
        assert_eq!(found, NodeId(id));
        assert_eq!(config.nodes[&found], format!("node{id}:{port}"), "its name inside");
        assert_eq!(config.bind, Some(format!("0.0.0.0:{port}")));
        assert_eq!(config.advertise, Some(format!("localhost:{port}")), "its name outside");
        assert_eq!(config.faults_from, FaultsFrom::Anywhere);
        registries.insert(config.nodes);
    }
    assert_eq!(registries.len(), 1, "all nodes have the same registry: {registries:?}");
}

#[test]
fn image_is_the_static_binary_which_asks_for_its_own_health() {
    let dockerfile = read("docker/Dockerfile");
    let instruction = |name: &str| {
        let found = dockerfile.lines().filter_map(|line| line.strip_prefix(name));
        let found: Vec<&str> = found.map(str::trim).collect();
        assert_eq!(found.len(), 1, "{name} stands once: {found:?}");
        found[0]
    };
    assert_eq!(instruction("FROM "), "scratch");
    assert_eq!(instruction("COPY "), "target/${TARGET}/release/raftlet /raftlet");
    assert!(read(".dockerignore").contains("\n!target/*/release/raftlet\n"));
    assert_eq!(instruction("ENTRYPOINT "), r#"["/raftlet"]"#);
    assert_eq!(instruction("STOPSIGNAL "), "SIGKILL");
    assert_eq!(instruction("VOLUME "), "/data");
    // The same check in both files, and the verb exists.
    let check = r#"["/raftlet", "health"]"#;
    assert!(instruction("HEALTHCHECK ").ends_with(&format!("CMD {check}")));
    assert!(read("docker/compose.yaml").contains(r#"test: ["CMD", "/raftlet", "health"]"#));
}
