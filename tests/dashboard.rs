//! The dashboard, in a real browser and on real clusters: what is drawn is what the nodes say, the
//! buttons do what they promise, and whatever happens to the nodes, the page goes on.
//!
//! A page is asked for what a person would see, and for what `index.html` and `app.js` promise in
//! attributes: `#node-2[data-role="leader"]`. A test that ends has looked at the console, too.

mod support;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use raftlet::json::Json;
use raftlet::node::message::{Command, Entry, NodeId};
use raftlet::node::rules::Rule;
use raftlet::storage::Storage;
use support::browser::{Browser, DOWN, ENTER, ESCAPE, Programs, SPACE, TAB};
use support::runner::{Test, Wanted};
use support::{Cluster, Process, number, raftlet, wait_for};

const TESTS: &[Test] = &[
    ("page_of_each_node_shows_the_leader", page_of_each_node_shows_the_leader),
    ("killed_leader_is_grey_and_another_crowned", killed_leader_is_grey_and_another_crowned),
    ("value_set_by_the_form_comes_to_all_logs", value_set_by_the_form_comes_to_all_logs),
    ("form_sets_reads_swaps_and_deletes", form_sets_reads_swaps_and_deletes),
    ("asked_follower_sends_the_page_on", asked_follower_sends_the_page_on),
    ("hostile_text_is_shown_as_text", hostile_text_is_shown_as_text),
    ("node_menu_pauses_elects_and_beats", node_menu_pauses_elects_and_beats),
    ("link_menu_cuts_slows_and_heals", link_menu_cuts_slows_and_heals),
    ("cluster_is_split_and_healed", cluster_is_split_and_healed),
    ("banner_tells_that_no_majority_is_left", banner_tells_that_no_majority_is_left),
    ("slider_shows_the_past", slider_shows_the_past),
    ("wiped_cluster_has_its_own_commands", wiped_cluster_has_its_own_commands),
    ("log_that_ends_early_says_where", log_that_ends_early_says_where),
    ("snapshot_is_seen_on_its_way_and_in_the_log", snapshot_is_seen_on_its_way_and_in_the_log),
    ("page_outlives_the_node_that_served_it", page_outlives_the_node_that_served_it),
    ("launcher_kills_and_restarts", launcher_kills_and_restarts),
    ("launcher_that_comes_anew_is_known", launcher_that_comes_anew_is_known),
    ("keyboard_is_enough", keyboard_is_enough),
    ("event_opens_its_rule_in_figure_2", event_opens_its_rule_in_figure_2),
    ("timeline_is_filtered_and_paused", timeline_is_filtered_and_paused),
    ("tour_notices_what_was_done", tour_notices_what_was_done),
    ("figures_are_what_the_nodes_count", figures_are_what_the_nodes_count),
    ("page_is_never_wider_than_the_screen", page_is_never_wider_than_the_screen),
    ("hundred_thousand_entries_stay_light", hundred_thousand_entries_stay_light),
    ("closed_page_is_told_nothing", closed_page_is_told_nothing),
];

/// How many browsers at a time: each is some processes, and drives a cluster of as many.
const BROWSERS: usize = 2;

fn main() -> ExitCode {
    let wanted = Wanted::from_command_line();
    let tests: Vec<Test> =
        TESTS.iter().copied().filter(|(name, _)| wanted.includes(name)).collect();
    if wanted.lists {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if tests.is_empty() || Programs::find().is_some() {
        return wanted.run(&tests, BROWSERS);
    }
    println!(
        "dashboard: {} tests SKIPPED, they need a browser: install chromium and chromedriver \
         (Debian: chromium, chromium-driver), then cargo test --test dashboard",
        tests.len()
    );
    let required = env::var_os("RAFTLET_BROWSER").is_some_and(|value| value == "required");
    if required { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

// ---- A cluster, and a page that shows it -------------------------------------------------------

/// Patient, so that nobody is deposed because two busy cores drive browsers as well.
const TIMING: &str = "[timing]\nheartbeat_ms = 200\nelection_timeout_ms = [1500, 3000]\n";

struct Page {
    browser: Browser,
    cluster: Cluster,
}

impl Page {
    /// A cluster of so many nodes, led by node 2, and the page of node 1.
    fn of(nodes: u64) -> Page {
        Page::with(nodes, "")
    }

    /// The same, with more in the file of the cluster.
    fn with(nodes: u64, more: &str) -> Page {
        let cluster = Cluster::new(nodes, &format!("{TIMING}{more}"));
        let mut page = Page { browser: Browser::start(), cluster };
        (1..=nodes).for_each(|id| page.start(id));
        (1..=nodes).for_each(|id| drop(wait_for("it answers", || page.cluster.status(id))));
        page.cluster.http(2, "POST", "/api/election", None);
        page.cluster.leader();
        page.open(1);
        page
    }

    fn start(&mut self, id: u64) {
        let (config, data) = (self.cluster.config(), self.cluster.data());
        let words = [&id.to_string(), "--config", &config, "--data", &data];
        self.cluster.adopt(id, Process::start(&mut raftlet(&words)));
    }

    /// Opens the page of a node, and waits until it has heard of the cluster.
    fn open(&self, id: u64) {
        self.browser.open(&format!("http://{}/", self.cluster.address(id)));
        self.shows("body[data-ready=true]");
    }

    /// Waits until there is such an element.
    fn shows(&self, css: &str) {
        wait_for(css, || self.browser.has(css).then_some(()));
    }

    /// Waits until there is none.
    fn lacks(&self, css: &str) {
        wait_for(&format!("no {css}"), || (!self.browser.has(css)).then_some(()));
    }

    /// Waits until an element has this text within its own.
    fn says(&self, css: &str, part: &str) {
        let what = || format!("{part:?} in {css}, which says {:?}", self.browser.text(css));
        support::wait_until(what, || self.browser.text(css).contains(part).then_some(()));
    }

    /// Who is drawn as the leader: of those that are up, the one of the highest term.
    fn crowned(&self) -> Option<u64> {
        let body = "const leaders = [...document.querySelectorAll(
                        '[id^=node-][data-role=leader][data-state=up]')];
                    leaders.sort((a, b) => a.dataset.term - b.dataset.term);
                    return leaders.pop()?.id ?? ''";
        let id = self.browser.script(body, &[]);
        id.as_str()?.strip_prefix("node-")?.parse().ok()
    }

    /// Waits until the one who leads is drawn as the leader; who that is.
    fn leader(&self) -> u64 {
        wait_for("the crown where the leader is", || {
            let leader = self.cluster.leader();
            (self.crowned() == Some(leader)).then_some(leader)
        })
    }

    fn followers(&self) -> Vec<u64> {
        let leader = self.leader();
        self.cluster.running().into_iter().filter(|&id| id != leader).collect()
    }

    /// Chooses an action from the menu of a node or link.
    fn act(&self, target: &str, action: &str) {
        self.browser.click(target);
        self.browser.click(&format!("#menu button[data-action={action}]"));
    }

    /// Fills the form in and sends it.
    fn send(&self, operation: &str, key: &str, value: &str) {
        self.browser.choose("#operation", operation);
        self.browser.fill("#key", key);
        if ["set", "cas"].contains(&operation) {
            self.browser.fill("#value", value);
        }
        self.browser.click("#send");
    }

    /// The entry with this command, as `index@term`, as soon as a node has it.
    fn entry(&self, command: &str) -> String {
        let entry_in = |id| {
            let status = self.cluster.status(id)?;
            let mut log = status.get("log")?.as_array()?.iter();
            let entry = log.find(|entry| entry.get("command") == Some(&Json::from(command)))?;
            Some(format!("{}@{}", number(entry, "index"), number(entry, "term")))
        };
        wait_for(&format!("an entry {command}"), || {
            self.cluster.running().into_iter().find_map(entry_in)
        })
    }

    /// Waits until the logs of all these show an entry as applied.
    fn all_show(&self, ids: &[u64], entry: &str) {
        for id in ids {
            self.shows(&format!("{}[data-committed=true][data-applied=true]", cell(*id, entry)));
        }
    }

    /// Waits until the timeline tells of a node's event with this text.
    fn tells(&self, id: u64, part: &str) {
        let body = "return [...document.querySelectorAll('#timeline li')].some(
                        ({dataset, innerText}) =>
                            dataset.node === arguments[0] && innerText.includes(arguments[1]))";
        wait_for(&format!("n{id} tells of {part:?}"), || {
            let found = self.browser.script(body, &[&id.to_string(), part]).as_bool();
            found.expect("a truth value").then_some(())
        });
    }

    /// What people look at before they say that it is beautiful.
    fn picture(&self, name: &str) {
        if let Some(folder) = env::var_os("RAFTLET_SCREENSHOTS") {
            self.browser.screenshot(&PathBuf::from(folder).join(name));
        }
    }
}

/// At its end a page has not complained of itself. That a dead node could not be reached, and that
/// an answer was none of success, the browser tells of its own accord.
impl Drop for Page {
    fn drop(&mut self) {
        if !thread::panicking() {
            let mut errors = self.browser.errors();
            errors.retain(|(source, text)| source != "network" || text.contains("favicon"));
            assert!(errors.is_empty(), "the console has {} errors: {:?}", errors.len(), errors[0]);
        }
    }
}

fn node(id: u64) -> String {
    format!("#node-{id}")
}

/// A link, from the lower number to the higher.
fn link(one: u64, other: u64) -> String {
    format!("#link-{}-{}", one.min(other), one.max(other))
}

/// An entry in the log of a node.
fn cell(id: u64, entry: &str) -> String {
    format!("#logs [data-log=\"{id}\"] [data-entry=\"{entry}\"]")
}

// ---- What one sees -----------------------------------------------------------------------------

fn page_of_each_node_shows_the_leader() {
    let page = Page::of(3);
    for id in 1..=3 {
        page.open(id);
        let leader = page.leader();
        let term = number(&page.cluster.status(leader).expect("it runs"), "current_term");
        page.shows(&format!("{}[data-role=leader][data-term=\"{term}\"]", node(leader)));
        for follower in page.followers() {
            let css = node(follower);
            page.shows(&format!("{css}[data-role=follower][data-state=up][data-term=\"{term}\"]"));
        }
        assert_eq!(page.browser.count("[data-role=leader]"), 1);
        assert!(!page.browser.is_visible("#banner"), "all is well");
    }
    let next = format!("#logs [data-next=\"{}\"]", page.followers()[0]);
    page.shows(&next);
    assert!(page.browser.has(&next.replace("next", "match")));
}

fn killed_leader_is_grey_and_another_crowned() {
    let mut page = Page::of(3);
    let old = page.leader();
    page.cluster.kill(old);
    page.shows(&format!("{}[data-state=unreachable]", node(old)));
    let new = page.leader();
    assert_ne!(new, old);
    assert!(page.browser.has(&format!("{}[data-state=unreachable]", node(old))));
    page.shows(&format!("#timeline li[data-node=\"{new}\"][data-kind=transition]"));
    // What a new leader sends follows its request for a vote at once, on the same way.
    let drawn = "const sent = happenings.get('messages');
                 const before = sent.length;
                 for (const kind of ['RequestVote', 'AppendEntries']) hearMessage(members.get(1),
                     {direction: 'sent', from: 1, to: 2, kind, term: 1, text: '', time_ms: 0});
                 return sent.length - before";
    assert_eq!(page.browser.script(drawn, &[]).as_u64(), Some(2), "both are drawn");
    page.start(old);
    page.shows(&format!("{}[data-state=up][data-role=follower]", node(old)));
}

fn page_outlives_the_node_that_served_it() {
    let mut page = Page::of(3);
    let server = page.leader();
    page.open(server);
    page.cluster.kill(server);
    page.shows(&format!("{}[data-state=unreachable]", node(server)));
    let new = page.leader();
    assert_ne!(new, server);
    page.send("set", "after", "1");
    let entry = page.entry("set after=1");
    page.all_show(&page.cluster.running(), &entry);
    page.says("#reply", &entry);
    page.start(server);
    page.shows(&format!("{}[data-state=up][data-role=follower]", node(server)));
    page.all_show(&[server], &entry);
    page.cluster.set("again", "2");
    page.tells(server, "set again=2"); // it is not only asked now and then, but heard again
}

fn banner_tells_that_no_majority_is_left() {
    let mut page = Page::of(5);
    page.picture("healthy.png");
    let leader = page.leader();
    let dead = [leader, leader % 5 + 1, (leader + 1) % 5 + 1];
    dead.iter().for_each(|&id| page.cluster.kill(id));
    wait_for("the banner", || page.browser.is_visible("#banner").then_some(()));
    page.says("#banner", "No leader can be elected: only 2 of 5 nodes can talk");
    dead.iter().for_each(|id| page.says("#banner", &format!("n{id}")));
    assert_eq!(page.browser.attribute("#banner", "role").as_deref(), Some("alert"));
    page.shows("[id^=node-][data-role=candidate]");
    page.picture("no-majority.png");
    page.start(leader);
    wait_for("no banner", || (!page.browser.is_visible("#banner")).then_some(()));
    page.leader();
}

fn slider_shows_the_past() {
    let mut page = Page::of(3);
    let old = page.leader();
    page.cluster.set("x", "before");
    let before = page.entry("set x=before");
    page.all_show(&[1, 2, 3], &before);
    // The slider counts in seconds, so there must be more than one of them to find.
    let shown = Instant::now();
    wait_for("some past", || (shown.elapsed() > Duration::from_secs(3)).then_some(()));
    let moment = Instant::now();
    page.cluster.kill(old);
    let new = page.leader();
    page.cluster.set("x", "after");
    let after = page.entry("set x=after");
    page.all_show(&page.cluster.running(), &after);

    page.browser.choose("#when", &format!("-{}", moment.elapsed().as_secs() + 2));
    wait_for("the crown where it was", || (page.crowned() == Some(old)).then_some(()));
    page.shows("body[data-live=false]");
    assert!(!page.browser.text("#moment").is_empty(), "it says which moment");
    page.lacks(&format!("[data-entry=\"{after}\"]"));
    let is_past = |css: &str| assert!(page.browser.has(css), "{css} at that moment");
    is_past(&format!("{}[data-state=up]", node(old)));
    is_past(&format!("{}[data-role=follower]", node(new)));
    is_past(&cell(new, &before));
    // What goes on meanwhile does not disturb it.
    page.cluster.set("x", "meanwhile");
    page.entry("set x=meanwhile");
    assert_eq!(page.crowned(), Some(old));
    page.browser.click("#live");
    page.shows("body[data-live=true]");
    assert_eq!(page.leader(), new);
    page.all_show(&page.cluster.running(), &page.entry("set x=meanwhile"));
}

/// An entry of the new cluster may have the name of another one in the old.
fn wiped_cluster_has_its_own_commands() {
    let mut page = Page::of(3);
    (1..=3).for_each(|number| page.cluster.set("x", &format!("old{number}")));
    let old = page.entry("set x=old1");
    page.all_show(&[1, 2, 3], &page.entry("set x=old3"));
    let shown = Instant::now();
    wait_for("some past", || (shown.elapsed() > Duration::from_secs(3)).then_some(()));
    let moment = Instant::now();
    (1..=3).for_each(|id| page.cluster.kill(id));
    fs::remove_dir_all(page.cluster.data()).expect("it can be removed");
    (1..=3).for_each(|id| page.start(id));
    (1..=3).for_each(|id| drop(wait_for("it answers", || page.cluster.status(id))));
    page.cluster.http(2, "POST", "/api/election", None);
    page.leader();
    page.cluster.set("x", "new");
    let new = page.entry("set x=new");
    for id in 1..=3 {
        page.shows(&format!("{}[title*=\"set x=new\"]", cell(id, &new)));
    }
    page.browser.choose("#when", &format!("-{}", moment.elapsed().as_secs() + 2));
    page.shows(&format!("{}[title*=\"set x=old1\"]", cell(1, &old)));
}

fn log_that_ends_early_says_where() {
    let page = Page::of(3);
    let sleeper = page.followers()[0];
    page.act(&node(sleeper), "pause");
    page.shows(&format!("{}[data-state=paused]", node(sleeper)));
    let status = page.cluster.status(sleeper).expect("it answers");
    let last =
        format!("{}@{}", number(&status, "last_log_index"), number(&status, "last_log_term"));
    (0..40).for_each(|number| page.cluster.set("x", &number.to_string())); // more than fit
    page.shows(&format!("[data-log=\"{sleeper}\"] .lane[data-ends=\"← ends at {last}\"]"));
    page.act(&node(sleeper), "resume");
    page.shows(&format!("[data-log=\"{sleeper}\"] .lane[data-ends=\"\"]"));
}

fn snapshot_is_seen_on_its_way_and_in_the_log() {
    let page = Page::with(3, "[log]\nsnapshot_after_bytes = 2048\n");
    page.says("#legend", "snapshot");
    let away = *page.followers().last().expect("there are two");
    page.act(&node(away), "pause");
    page.shows(&format!("{}[data-state=paused]", node(away)));
    (0..100).for_each(|number| page.cluster.set("x", &number.to_string()));
    let leader = page.leader();
    page.act(&node(away), "resume");
    page.tells(leader, &format!("sends n{away} its snapshot to "));
    page.tells(leader, "chunk 1 of 1");
    page.tells(away, "in place of its log and state");
    page.cluster.set("x", "end");
    page.all_show(&[1, 2, 3], &page.entry("set x=end"));
    page.browser.script("document.querySelector('#logs').scrollLeft = 0", &[]);
    let status = page.cluster.status(away).expect("it answers");
    let base = number(&status, "snapshot_index");
    let log = format!("#logs [data-log=\"{away}\"]");
    page.shows(&format!("{log} [data-entry=\"1@?\"][data-snapshot=true]"));
    page.browser.script(
        "document.querySelector('#logs').scrollLeft = 66 * arguments[0] - 99",
        &[&base.to_string()],
    );
    page.shows(&format!("{log} [data-entry^=\"{base}@\"][data-snapshot=true]"));
    page.shows(&format!("{log} [data-entry^=\"{}@\"][data-snapshot=false]", base + 1));
    page.picture("snapshot.png");
}

fn figures_are_what_the_nodes_count() {
    let page = Page::of(3);
    let leader = page.leader();
    let term = number(&page.cluster.status(leader).expect("it runs"), "current_term");
    page.says("#figure-term .value", &term.to_string());
    let is_positive = |figure: &str| {
        let text = page.browser.text(&format!("#figure-{figure} .value"));
        let digits = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.');
        digits.collect::<String>().parse().is_ok_and(|value: f64| value > 0.0)
    };
    wait_for("the election that was", || is_positive("elections").then_some(()));
    for figure in ["writes", "commits", "latency", "reads"] {
        wait_for(&format!("{figure} a second"), || {
            page.cluster.set("x", figure);
            page.cluster.get("x");
            is_positive(figure).then_some(())
        });
    }
}

// ---- The store ---------------------------------------------------------------------------------

fn value_set_by_the_form_comes_to_all_logs() {
    let page = Page::of(3);
    page.send("set", "x", "42");
    let entry = page.entry("set x=42");
    page.says("#reply", &entry);
    page.all_show(&[1, 2, 3], &entry);
    for id in 1..=3 {
        page.shows(&format!("{}[title*=\"set x=42\"]", cell(id, &entry))); // on hover
        page.browser.choose("#store-node", &id.to_string());
        page.says("#store tr[data-key=x]", "42");
    }
    page.says("#store-leader tr[data-key=x]", "42");
}

fn form_sets_reads_swaps_and_deletes() {
    let page = Page::of(3);
    let has = |value: &str| {
        let read = page.cluster.http(page.leader(), "GET", "/api/get/x", None).expect("an answer");
        assert!(read.text().contains(value), "{}", read.text());
    };
    page.send("set", "x", "1");
    page.says("#reply", &page.entry("set x=1"));
    page.send("get", "x", "");
    page.says("#reply", "x = 1");
    page.browser.choose("#operation", "cas");
    page.browser.fill("#old", "1");
    page.send("cas", "x", "2");
    page.says("#reply", &page.entry("cas x 1 2"));
    has(r#""2""#);
    page.send("cas", "x", "3"); // it is no longer 1
    page.says("#reply", &page.entry("cas x 1 3"));
    has(r#""2""#);
    page.send("local-get", "x", "");
    page.says("#reply", "x = 2");
    page.send("delete", "x", "");
    page.says("#reply", &page.entry("delete x"));
    has("null");
    page.lacks("#store-leader tr[data-key=x]");
}

fn asked_follower_sends_the_page_on() {
    let page = Page::of(3);
    let leader = page.leader();
    page.browser.choose("#ask", &page.followers()[0].to_string());
    page.send("set", "x", "7");
    page.says("#reply", "307");
    page.says("#reply", &format!("n{leader}"));
    page.says("#reply", &page.entry("set x=7"));
    let twice = page.browser.script("return inPlainWords({status: 307, json: {}})", &[]);
    assert!(twice.to_string().contains("it does not lead any more"), "{twice}");
    page.send("get", "..", "");
    page.says("#reply", "raftlet get ..");
}

/// In a browser, text that is taken for HTML does something.
const HOSTILE: [&str; 3] = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(2)>",
    "</title><svg onload=alert(3)>&lt;b&gt;",
];

fn hostile_text_is_shown_as_text() {
    let page = Page::of(3);
    for text in HOSTILE {
        page.send("set", text, text);
        page.says("#reply", "@");
        page.says("#store-leader", text);
        page.browser.choose("#operation", "get");
        page.browser.click("#send");
        page.says("#reply", text);
    }
    let keys = "return [...document.querySelectorAll('#store-leader tr[data-key]')]
                    .map(row => row.dataset.key).sort().join('\\n')";
    let mut expected = HOSTILE;
    expected.sort();
    assert_eq!(page.browser.script(keys, &[]), Json::from(expected.join("\n")));
    let titles = "return [...document.querySelectorAll('#logs [data-entry]')]
                      .filter(cell => cell.title.includes('alert(2)')).length";
    wait_for("three cells with it on hover", || {
        (page.browser.script(titles, &[]).as_u64() == Some(3)).then_some(())
    });
    page.says("#timeline", "alert(3)");
    assert_eq!(page.browser.count("script"), 1, "the page's own alone");
    assert!(!page.browser.has("img") && !page.browser.has("[onerror], [onload]"));
    assert_eq!(page.browser.alert(), None);
}

// ---- What one can do ---------------------------------------------------------------------------

fn node_menu_pauses_elects_and_beats() {
    let mut page = Page::of(3);
    let follower = page.followers()[0];
    page.act(&node(follower), "pause");
    page.shows(&format!("{}[data-state=paused]", node(follower)));
    let paused = |page: &Page| page.cluster.status(follower)?.get("paused")?.as_bool();
    assert_eq!(paused(&page), Some(true));
    page.act(&node(follower), "resume");
    page.shows(&format!("{}[data-state=up]", node(follower)));
    assert_eq!(paused(&page), Some(false));

    page.act(&node(follower), "election");
    page.says("#notice", &format!("n{follower}"));
    page.cluster.process(follower).wait_for_line("is asked to start an election now");
    let leader = page.leader();
    page.act(&node(leader), "heartbeat");
    page.says("#notice", &format!("n{leader}"));
    page.cluster.process(leader).wait_for_line("is asked to send heartbeats now");
    let buttons =
        "#menu button[data-action=kill]:enabled, #menu button[data-action=restart]:enabled";
    page.browser.click(&node(leader));
    assert!(!page.browser.has(buttons), "nobody is there to kill or restart it");
    page.browser.press(ESCAPE);
}

fn link_menu_cuts_slows_and_heals() {
    let page = Page::of(3);
    let links = |one: u64| {
        let reply = page.cluster.http(one, "GET", "/api/links", None).expect("an answer");
        reply.text().into_owned()
    };
    let is = |forward: &str, backward: &str| {
        let ways = format!("[data-forward={forward}][data-backward={backward}]");
        page.shows(&format!("{}{ways}", link(1, 2)));
    };
    is("ok", "ok");
    page.act(&link(1, 2), "cut-forward");
    is("cut", "ok");
    assert!(links(1).contains(r#""peer":2,"blocked":true"#), "{}", links(1));
    assert!(!links(2).contains("true"), "{}", links(2));
    page.act(&link(1, 2), "heal");
    is("ok", "ok");
    page.act(&link(1, 2), "cut-backward");
    is("ok", "cut");
    page.act(&link(1, 2), "cut");
    is("cut", "cut");
    page.act(&link(1, 2), "heal");
    is("ok", "ok");
    page.act(&link(1, 2), "lose");
    is("lossy", "lossy");
    assert!(links(2).contains(r#""drop":30"#), "{}", links(2));
    page.act(&link(1, 2), "heal");
    is("ok", "ok");
    page.act(&link(1, 2), "slow");
    is("slow", "slow");
    assert!(links(1).contains(r#""delay_ms":200"#), "{}", links(1));
    page.act(&link(1, 2), "heal");
    is("ok", "ok");
    assert!(!links(1).contains(r#""delay_ms":200"#), "{}", links(1));
}

fn cluster_is_split_and_healed() {
    let page = Page::of(5);
    let old = page.leader();
    page.browser.click("#isolate-leader");
    for other in (1..=5).filter(|&id| id != old) {
        page.shows(&format!("{}[data-forward=cut][data-backward=cut]", link(old, other)));
    }
    wait_for("another crown", || page.crowned().filter(|&id| id != old));
    assert!(page.browser.has(&format!("{}[data-role=leader]", node(old))), "it knows nothing");
    page.picture("isolated.png");
    let six_links_cut = || (page.browser.count("[data-forward=cut]") == 6).then_some(());
    page.browser.click("#split"); // what was cut within a side is mended
    wait_for("six links cut, instead of four", six_links_cut);
    wait_for("no banner", || (!page.browser.is_visible("#banner")).then_some(()));
    page.browser.click("#heal-all");
    page.lacks("[data-forward=cut], [data-backward=cut]");
    page.leader();

    page.act(&node(page.followers()[0]), "pause");
    page.shows("[data-state=paused]");
    page.browser.click("#split");
    page.shows("[data-forward=cut][data-backward=cut]");
    // Of five, two and three: as many links lead from one part to the other.
    wait_for("six links cut", six_links_cut);
    page.browser.click("#heal-all");
    page.lacks("[data-forward=cut], [data-backward=cut], [data-state=paused]");
    page.leader();
}

/// All nodes in one terminal, and the page kills and starts them.
fn launcher_kills_and_restarts() {
    let cluster = Cluster::new(3, TIMING);
    let words = ["--config", &cluster.config(), "--data", &cluster.data()];
    let launcher = Process::start(&mut raftlet(&words));
    let page = Page { browser: Browser::start(), cluster };
    wait_for("a node that answers", || page.cluster.status(1));
    page.open(1);
    let leader = |not: u64| {
        wait_for("a crown", || page.crowned().filter(|&id| id != not && page.crowned() == Some(id)))
    };
    let old = leader(0);
    page.act(&node(old), "kill");
    page.shows(&format!("{}[data-state=unreachable]", node(old)));
    assert!(page.cluster.status(old).is_none(), "it is dead");
    page.open(leader(old)); // a page that has never heard of the dead one
    page.act(&node(old), "restart");
    page.shows(&format!("{}[data-state=up][data-role=follower]", node(old)));
    assert!(page.cluster.status(old).is_some(), "it is alive");
    assert!(launcher.text().contains(&format!("n{old}")));
}

/// It listens on another port then, which the page that is open was not allowed to ask.
fn launcher_that_comes_anew_is_known() {
    let cluster = Cluster::new(3, TIMING);
    let words = ["--config", &cluster.config(), "--data", &cluster.data()];
    let mut launcher = Process::start(&mut raftlet(&words));
    let page = Page { browser: Browser::start(), cluster };
    let told = || page.cluster.status(1)?.get("launcher")?.as_str().map(str::to_string);
    wait_for("a node that answers", told);
    page.open(1);
    launcher.kill();
    (1..=3).for_each(|id| page.shows(&format!("{}[data-state=unreachable]", node(id))));
    launcher = Process::start(&mut raftlet(&words));
    let address = wait_for("a node that answers", told);
    wait_for("the page knows the new launcher", || {
        let known = page.browser.script("return members.get(1)?.launcher ?? ''", &[]);
        (known == Json::from(address.as_str())).then_some(())
    });
    page.act(&node(3), "kill");
    page.shows(&format!("{}[data-state=unreachable]", node(3)));
    assert!(page.cluster.status(3).is_none(), "it is dead: {}", launcher.text());
}

fn keyboard_is_enough() {
    let page = Page::of(3);
    let follower = page.followers()[0];
    let reach = |key: &str, css: &str| {
        wait_for(&format!("{css} is reached"), || {
            page.browser.press(key);
            page.browser.has_focus(css).then_some(())
        });
    };
    let is_open = || page.browser.is_visible("#menu");
    reach(TAB, &node(follower));
    page.browser.press(ENTER);
    wait_for("the menu", || is_open().then_some(()));
    reach(DOWN, "#menu button[data-action=pause]");
    page.browser.press(ESCAPE);
    wait_for("no menu", || (!is_open()).then_some(()));
    assert!(page.browser.has_focus(&node(follower)), "the focus is where it was");

    page.browser.press(SPACE);
    page.browser.script("document.activeElement.blur()", &[]); // as if it could do no more
    page.browser.press(ESCAPE);
    wait_for("no menu", || (!is_open()).then_some(()));
    page.browser.press(SPACE);
    reach(DOWN, "#menu button[data-action=pause]");
    page.browser.press(ENTER);
    page.shows(&format!("{}[data-state=paused]", node(follower)));
    assert!(!is_open());
    reach(TAB, &link(1, 2));
    page.browser.press(ENTER);
    reach(DOWN, "#menu button[data-action=cut]");
    page.browser.press(SPACE);
    page.shows(&format!("{}[data-forward=cut][data-backward=cut]", link(1, 2)));
    reach(TAB, "#timeline");
    reach(DOWN, "#timeline button");
    assert!(!page.browser.has("#timeline button:not([tabindex='-1'])"), "one stop for all");
    page.browser.press(ENTER);
    page.shows("#rule[open]");
    page.browser.press(ESCAPE);
    reach(TAB, "#heal-all");
    page.browser.press(ENTER);
    page.lacks("[data-forward=cut], [data-backward=cut], [data-state=paused]");
}

// ---- What happened -----------------------------------------------------------------------------

fn event_opens_its_rule_in_figure_2() {
    let page = Page::of(3);
    page.act(&node(page.followers()[0]), "election");
    page.shows("#timeline li[data-kind=transition]");
    page.browser.script("learnRules(); learnRules()", &[]); // they are there, once
    page.browser.click("#timeline-pause"); // or it may move from under the pointer
    page.browser.click("#timeline li[data-kind=transition]");
    page.shows("#rule[open]");
    assert_eq!(page.browser.count("#rule [data-rule]"), Rule::all().count() as u64);
    assert_eq!(page.browser.count("#rule [aria-current=true]"), 1);
    let name = page.browser.attribute("#rule [aria-current=true]", "data-rule").expect("a name");
    let about = Rule::named(&name).expect("a rule of this name").about();
    page.says("#rule-sentence", about.sentence);
    assert!(page.browser.is_visible("#rule [aria-current=true]"));
    assert!(!page.browser.text("#rule-name").is_empty());
    page.browser.press(ESCAPE);
    page.lacks("#rule[open]");
}

fn timeline_is_filtered_and_paused() {
    let page = Page::of(3);
    page.cluster.set("x", "1");
    for id in 1..=3 {
        page.shows(&format!("#timeline li[data-node=\"{id}\"]"));
    }
    let tick = |filter: &str| page.browser.click(&format!("#filters input{filter}"));
    tick("[name=node][value=\"2\"]");
    page.lacks("#timeline li[data-node=\"2\"]");
    assert!(page.browser.has("#timeline li[data-node=\"1\"]"));
    tick("[name=kind][value=log]");
    page.lacks("#timeline li[data-kind=committed]");
    tick("[name=node][value=\"2\"]");
    tick("[name=kind][value=log]");
    page.shows("#timeline li[data-node=\"2\"][data-kind=committed]");
    page.lacks("#timeline li[data-kind=heartbeat]"); // nobody could read them all
    tick("[name=kind][value=messages]");
    page.shows("#timeline li[data-kind=heartbeat]");
    tick("[name=kind][value=messages]");

    page.browser.click("#timeline-pause");
    page.shows("#timeline-pause[aria-pressed=true]");
    page.cluster.set("paused", "1");
    page.all_show(&[1, 2, 3], &page.entry("set paused=1"));
    assert!(!page.browser.text("#timeline").contains("set paused=1"), "it stands still");
    // So much that the oldest are forgotten.
    let flood = "for (let number = 0; number < 7000; number += 1) hearEvent(null,
                     {kind: 'late_answer', node: 1, term: 1, time_ms: 0, text: 'flood'});
                 drawTimeline()";
    page.browser.script(flood, &[]);
    assert!(page.browser.has("#timeline li[data-kind=committed]"), "what is held stays");
    page.browser.click("#timeline-pause");
    page.says("#timeline", "flood");
    tick("[name=node][value=\"1\"]");
    page.shows("#timeline[data-end*=log]");
}

fn tour_notices_what_was_done() {
    let mut page = Page::of(3);
    if !page.browser.is_visible("#tour") {
        page.browser.click("#tour-open");
    }
    let done = |page: &Page, step| {
        page.shows(&format!("#tour li[data-step={step}][data-done=true]"));
    };
    assert_eq!(page.browser.count("#tour li[data-done=false]"), 7);
    let old = page.leader();
    page.cluster.kill(old);
    done(&page, "kill");
    page.leader();
    done(&page, "watch");
    page.send("set", "x", "1");
    done(&page, "write");
    page.start(old);
    page.leader();
    page.browser.click("#split");
    done(&page, "split");
    page.browser.click("#heal-all");
    done(&page, "heal");
    let sleeper = page.followers()[0];
    page.all_show(&[1, 2, 3], &page.entry("set x=1"));
    page.act(&node(sleeper), "pause");
    page.shows(&format!("{}[data-state=paused]", node(sleeper)));
    page.send("set", "x", "2");
    page.says("#reply", &page.entry("set x=2"));
    page.browser.choose("#ask", &sleeper.to_string());
    page.send("local-get", "x", "");
    page.says("#reply", "= 1");
    done(&page, "stale");
    page.act(&node(sleeper), "resume");
    done(&page, "repair");
    assert_eq!(page.browser.count("#tour li[data-done=true]"), 7);
    page.browser.click("#tour-close");
    wait_for("no tour", || (!page.browser.is_visible("#tour")).then_some(()));
    page.browser.click("#tour-open");
    wait_for("the tour", || page.browser.is_visible("#tour").then_some(()));
}

// ---- What it costs, and where it fits ----------------------------------------------------------

fn page_is_never_wider_than_the_screen() {
    let page = Page::of(5);
    page.cluster.set("a-key-that-is-long-enough-to-matter", &"long".repeat(50));
    page.says("#store-leader", "long");
    for (width, height, name) in [(1024, 768, "1024.png"), (390, 844, "390.png")] {
        page.browser.resize(width, height);
        let widest = "return document.documentElement.scrollWidth";
        wait_for("it fits", || (page.browser.script(widest, &[]).as_u64()? <= width).then_some(()));
        for css in ["#node-1", "#logs", "#timeline", "#store-form", "#heal-all"] {
            assert!(page.browser.is_visible(css), "{css} at {width} pixels");
        }
        page.picture(name);
    }
    page.browser.resize(1280, 1000);
    page.browser.prefer_dark();
    let back = "return getComputedStyle(document.body).backgroundColor";
    let part = |part: &str| part.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().ok();
    wait_for("it is dark", || {
        let rgb = page.browser.script(back, &[]).to_string();
        (rgb.split(',').filter_map(part).sum::<u64>() < 3 * 64).then_some(())
    });
    page.picture("dark.png");
}

/// Entries of the long log, all of the first term.
const MANY: u64 = 100_000;

fn hundred_thousand_entries_stay_light() {
    let cluster = Cluster::new(3, TIMING);
    let command =
        |index| if index == 1 { Command::no_op() } else { Command::new(&format!("set k={index}")) };
    let log: Vec<Entry> =
        (1..=MANY).map(|index| Entry { index, term: 1, command: command(index) }).collect();
    for id in 1..=3 {
        let data = PathBuf::from(cluster.data()).join(id.to_string());
        write_log(&data, id, &log);
    }
    let mut page = Page { browser: Browser::start(), cluster };
    (1..=3).for_each(|id| page.start(id));
    page.cluster.leader();
    page.open(1);
    page.leader();
    page.cluster.set("k", "end");
    let last = page.entry("set k=end");
    page.all_show(&[1, 2, 3], &last);
    let few = || {
        let cells = page.browser.count("#logs [data-entry]");
        assert!((1..300).contains(&cells), "{cells} cells for {MANY} entries");
    };
    few();
    page.browser.script("document.querySelector('#logs').scrollLeft = 0", &[]);
    page.all_show(&[1, 2, 3], "2@1");
    page.shows(&format!("{}[title*=\"set k=2\"]", cell(1, "2@1")));
    let unknown = "return [...document.querySelectorAll('#logs [data-entry]')]
                       .filter(({title}) => !title.includes(' ')).length";
    wait_for("all commands in sight", || {
        (page.browser.script(unknown, &[]).as_u64() == Some(0)).then_some(())
    });
    assert!(!page.browser.has(&format!("[data-entry=\"{last}\"]")), "that is far away");
    few();
    let to_the_end =
        "const logs = document.querySelector('#logs'); logs.scrollLeft = logs.scrollWidth";
    page.browser.script(to_the_end, &[]);
    page.all_show(&[1, 2, 3], &last);
    few();
    let asked = "return performance.getEntriesByType('resource')
                     .filter(({name}) => name.includes('/log?')).length";
    let asked = page.browser.script(asked, &[]).as_u64().expect("a number");
    assert!((1..10).contains(&asked), "{asked} requests for what was in sight");
}

fn write_log(data: &Path, id: u64, log: &[Entry]) {
    let (mut storage, _) = Storage::open(data, "raftlet", NodeId(id)).expect("a new directory");
    storage.save_vote(1, Some(NodeId(1))).expect("the disk");
    storage.save_entries(0, log, NodeId(1)).expect("the disk");
    storage.sync().expect("the disk");
}

/// A node has 64 subscribers at most, so it can be seen from outside how many it has.
fn closed_page_is_told_nothing() {
    let page = Page::of(3);
    page.shows("#node-2[data-state=up]");
    let address = page.cluster.address(2);
    let subscribe = || {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        let head = format!("GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).expect("an answer");
        line.contains(" 200 ").then_some(stream)
    };
    let mut subscribers: Vec<TcpStream> = std::iter::from_fn(subscribe).take(64).collect();
    assert_eq!(subscribers.len(), 63, "the page is the 64th");
    page.browser.open("about:blank");
    subscribers.push(wait_for("the page's place is free", subscribe));
    assert!(subscribe().is_none(), "that was the only one");
}
