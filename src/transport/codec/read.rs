//! Text into messages, trusting nobody.
//!
//! The brain counts on what every real server keeps to: entries without a gap, terms that never
//! fall, numbers that can be added to. Whatever breaks this is refused here, with the reason.
//! Members that we do not know are passed over, so that later versions may have more. What Figure 2
//! does not have may be left out, so that a student can write a message by hand.

use std::net::SocketAddrV6;

use super::{Body, Envelope, Hello, REFUSED};
use crate::json::Value;
use crate::node::message::{
    AppendEntries, AppendEntriesReply, Command, Conflict, Entry, EntryId, InstallSnapshot,
    InstallSnapshotReply, NodeId, RequestVote, RequestVoteReply, Rpc, Term,
};

/// The greatest number in a message: the last up to which every JSON reader is exact. The brain
/// may add to it without overflow.
const MAX_NUMBER: u64 = 1 << 53;

/// The longest address that a node may advertise: longer than any name of a host.
const MAX_ADDRESS_BYTES: usize = 255;

/// Reads one line or datagram.
///
/// # Errors
/// If it is no message that a server could have sent: the reason, in one line.
pub fn envelope(text: &[u8]) -> Result<Envelope, String> {
    let json = Value::read(text).map_err(|error| format!("not JSON: {error}"))?;
    let (kind, from, to) = (string(&json, "type")?, node(&json, "from")?, node(&json, "to")?);
    let cluster = json.get("cluster").and_then(Value::as_str).map(str::to_string);
    let body = match kind {
        "Hello" => Body::Hello(hello(&json)?),
        "Refused" => Body::Refused(printable(string(&json, "why")?)),
        _ => Body::Rpc(rpc(kind, &json, from)?),
    };
    Ok(Envelope { cluster, from, to, body })
}

/// Reads one of the two RPCs from the members that Figure 2 has, as a student writes them by hand:
/// who sends it is the `candidate_id` or the `leader_id`. Whether that is a peer is still to be
/// checked.
///
/// # Errors
/// If it is no RPC that a server could have sent: the reason, in one line.
pub fn rpc_by_hand(kind: &str, json: &Value) -> Result<Rpc, String> {
    let sender = match kind {
        "RequestVote" => "candidate_id",
        "AppendEntries" => "leader_id",
        _ => return Err(format!("{} is no RPC of Figure 2", shown(kind))),
    };
    rpc(kind, json, node(json, sender)?)
}

fn rpc(kind: &str, json: &Value, from: NodeId) -> Result<Rpc, String> {
    Ok(match kind {
        "RequestVote" => Rpc::RequestVote(request_vote(json, from)?),
        "RequestVoteReply" => Rpc::RequestVoteReply(request_vote_reply(json)?),
        "AppendEntries" => Rpc::AppendEntries(append_entries(json, from)?),
        "AppendEntriesReply" => Rpc::AppendEntriesReply(append_entries_reply(json)?),
        "InstallSnapshot" => Rpc::InstallSnapshot(install_snapshot(json, from)?),
        "InstallSnapshotReply" => Rpc::InstallSnapshotReply(install_snapshot_reply(json)?),
        _ => return Err(format!("unknown type {}", shown(kind))),
    })
}

fn hello(json: &Value) -> Result<Hello, String> {
    let address = json.get("address").map(|_| string(json, "address")).transpose()?;
    address.map_or(Ok(()), check_address)?;
    let instance = json.get("instance").map(|_| number(json, "instance")).transpose()?;
    Ok(Hello { address: address.map(str::to_string), instance })
}

/// Checks an address that clients will be sent to: it will stand in the header Location, where
/// nothing may be that has a meaning there.
///
/// # Errors
/// If it is not `host:port`.
pub fn check_address(address: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let is_name = address.rsplit_once(':').is_some_and(|(host, port)| {
        let has_host = !host.is_empty() && host.chars().chain(port.chars()).all(is_plain);
        has_host && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let is_ipv6 = address.parse::<SocketAddrV6>().is_ok_and(|address| address.port() > 0);
    let holds = address.len() <= MAX_ADDRESS_BYTES && (is_name || is_ipv6);
    check(holds, || format!("\"address\" must be host:port, not {}", shown(address)))
}

/// The reason in a line that `write::refused` wrote; or what else the line is.
pub fn refusal(text: &[u8]) -> String {
    let json = Value::read(text).unwrap_or(Value::Null);
    match json.get("why").and_then(Value::as_str) {
        Some(why) => format!("{REFUSED}{}", printable(why)),
        None => format!("it answered {}", shown(&String::from_utf8_lossy(text))),
    }
}

fn request_vote(json: &Value, from: NodeId) -> Result<RequestVote, String> {
    let rpc = RequestVote {
        term: message_term(json)?,
        candidate_id: sender(json, "candidate_id", from)?,
        last_log_index: number(json, "last_log_index")?,
        last_log_term: number(json, "last_log_term")?,
    };
    check_position(rpc.last_log(), rpc.term)?;
    Ok(rpc)
}

fn request_vote_reply(json: &Value) -> Result<RequestVoteReply, String> {
    let (term, vote_granted) = (message_term(json)?, boolean(json, "vote_granted")?);
    Ok(RequestVoteReply { term, vote_granted })
}

fn append_entries(json: &Value, from: NodeId) -> Result<AppendEntries, String> {
    let mut rpc = AppendEntries {
        term: message_term(json)?,
        leader_id: sender(json, "leader_id", from)?,
        prev_log_index: number(json, "prev_log_index")?,
        prev_log_term: number(json, "prev_log_term")?,
        entries: Vec::new(),
        leader_commit: number(json, "leader_commit")?,
        round: number_or(json, "round", 0)?,
    };
    check_position(rpc.prev_log(), rpc.term)?;
    let entries = json.get("entries").and_then(Value::as_array);
    let mut last = rpc.prev_log();
    for json in entries.ok_or(r#""entries" must be an array"#)? {
        let entry = entry(json, last, rpc.term)?;
        last = entry.id();
        rpc.entries.push(entry);
    }
    Ok(rpc)
}

fn entry(json: &Value, last: EntryId, message_term: Term) -> Result<Entry, String> {
    let command = Command::new(string(json, "command")?);
    let index = number_or(json, "index", last.index + 1)?;
    let entry = Entry { index, term: number(json, "term")?, command };
    let id = entry.id();
    check(id.index == last.index + 1, || format!("entry {id} does not follow {last}"))?;
    check(id.term >= last.term, || format!("entry {id} is older than {last} before it"))?;
    check(!entry.command.as_str().is_empty(), || format!("entry {id} has an empty command"))?;
    check_position(id, message_term)?;
    Ok(entry)
}

fn append_entries_reply(json: &Value) -> Result<AppendEntriesReply, String> {
    let term = message_term(json)?;
    let reply = AppendEntriesReply {
        term,
        success: boolean(json, "success")?,
        match_index: number(json, "match_index")?,
        conflict: json.get("conflict").map(|json| conflict(json, term)).transpose()?,
        round: number_or(json, "round", 0)?,
    };
    check(!reply.success || reply.conflict.is_none(), || "a success with a conflict".to_string())?;
    Ok(reply)
}

fn conflict(json: &Value, message_term: Term) -> Result<Conflict, String> {
    let conflict = Conflict {
        prev_log_index: number(json, "prev_log_index")?,
        term: number(json, "term")?,
        index: number(json, "index")?,
    };
    let Conflict { prev_log_index: prev, term, index } = conflict;
    check((1..=prev).contains(&index), || format!("a conflict at {index}, not in 1..{prev}"))?;
    check(term <= message_term, || format!("a conflict in term {term} after {message_term}"))?;
    Ok(conflict)
}

fn install_snapshot(json: &Value, from: NodeId) -> Result<InstallSnapshot, String> {
    let rpc = InstallSnapshot {
        term: message_term(json)?,
        leader_id: sender(json, "leader_id", from)?,
        last_included_index: number(json, "last_included_index")?,
        last_included_term: number(json, "last_included_term")?,
        offset: number(json, "offset")?,
        data: string(json, "data")?.into(),
        done: boolean(json, "done")?,
    };
    check_position(rpc.last_included(), rpc.term)?;
    check(rpc.last_included_index > 0, || "a snapshot of nothing".to_string())?;
    Ok(rpc)
}

fn install_snapshot_reply(json: &Value) -> Result<InstallSnapshotReply, String> {
    Ok(InstallSnapshotReply {
        term: message_term(json)?,
        last_included_index: number(json, "last_included_index")?,
        offset: number(json, "offset")?,
        done: boolean(json, "done")?,
    })
}

/// Only "before the first entry" has index or term 0, and no entry is newer than the message that
/// tells of it.
fn check_position(id: EntryId, message_term: Term) -> Result<(), String> {
    check((id.index == 0) == (id.term == 0), || format!("no entry can be {id}"))?;
    check(id.term <= message_term, || format!("{id} is newer than the message, of {message_term}"))
}

/// The term of a message. No server speaks before the first election, which is for term 1. However
/// far ahead a term is, a server adopts it (All Servers 2), so here it is refused only if no server
/// could have a newer one.
fn message_term(json: &Value) -> Result<Term, String> {
    let term = number(json, "term")?;
    check(term > 0, || r#""term" must be at least 1"#.to_string())?;
    check(term < MAX_NUMBER, || format!("\"term\" must be less than {MAX_NUMBER}"))?;
    Ok(term)
}

/// Candidates and leaders speak for themselves.
fn sender(json: &Value, name: &str, from: NodeId) -> Result<NodeId, String> {
    let id = node(json, name)?;
    check(id == from, || format!("\"{name}\" is {id}, but {from} sent it"))?;
    Ok(id)
}

fn node(json: &Value, name: &str) -> Result<NodeId, String> {
    let id = json.get(name).and_then(Value::as_u64);
    id.map(NodeId).ok_or_else(|| format!("\"{name}\" must be the number of a node"))
}

fn number(json: &Value, name: &str) -> Result<u64, String> {
    let number = json.get(name).and_then(Value::as_u64).filter(|&number| number <= MAX_NUMBER);
    number.ok_or_else(|| format!("\"{name}\" must be a whole number from 0 to {MAX_NUMBER}"))
}

/// A number that need not be there.
fn number_or(json: &Value, name: &str, default: u64) -> Result<u64, String> {
    json.get(name).map_or(Ok(default), |_| number(json, name))
}

fn boolean(json: &Value, name: &str) -> Result<bool, String> {
    let value = json.get(name).and_then(Value::as_bool);
    value.ok_or_else(|| format!("\"{name}\" must be true or false"))
}

fn string<'a>(json: &'a Value, name: &str) -> Result<&'a str, String> {
    let text = json.get(name).and_then(Value::as_str);
    text.ok_or_else(|| format!("\"{name}\" must be a text"))
}

fn check(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// A text of a stranger's, quoted for a line that people read.
pub fn shown(text: &str) -> String {
    format!("\"{}\"", printable(text))
}

/// A text of a stranger's without anything that a terminal would obey, and not too much of it.
fn printable(text: &str) -> String {
    let is_plain = |c: char| c == ' ' || c.is_ascii_graphic();
    text.chars().take(200).map(|c| if is_plain(c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::write::tests::{
        APPEND, CHUNK, CHUNK_TAKEN, CONFLICT, GRANTED, HELLO, REQUEST_VOTE, SUCCESS, messages,
    };
    use super::*;
    use crate::json::Json;

    /// A text, a part of it, what stands there instead, and part of the reason for refusing it.
    #[rustfmt::skip]
    const REFUSED: &[(&str, &str, &str, &str)] = &[
        (GRANTED, "}", "", "not JSON"),
        (GRANTED, "RequestVoteReply", "\u{9b}Vote", "unknown type \"?Vote\""),
        (GRANTED, r#""type""#, r#""kind""#, r#""type" must be"#),
        (GRANTED, r#""from":2"#, r#""from":-2"#, r#""from" must be"#),
        (GRANTED, r#""to":1"#, r#""to":"n1""#, r#""to" must be"#),
        (GRANTED, r#""term":4"#, r#""term":0"#, r#""term" must be at least 1"#),
        (GRANTED, r#""term":4"#, r#""term":4.0"#, r#""term" must be a whole"#),
        (GRANTED, r#""term":4"#, r#""term":9007199254740993"#, r#""term" must be a whole"#),
        (HELLO, "localhost:5001", "host", r#""address" must be"#),
        (HELLO, r#""localhost:5001""#, "1", r#""address" must be a text"#),
        (HELLO, "77", "7.7", r#""instance" must be"#),
        (GRANTED, "true", "1", r#""vote_granted" must be true"#),
        (REQUEST_VOTE, r#""term":4,"#, "", r#""term" must be"#),
        (REQUEST_VOTE, r#"candidate_id":1"#, r#"candidate_id":3"#, r#""candidate_id" is n3"#),
        (REQUEST_VOTE, r#"index":8"#, r#"index":0"#, "no entry can be 0@3"),
        (REQUEST_VOTE, r#"log_term":3"#, r#"log_term":0"#, "no entry can be 8@0"),
        (REQUEST_VOTE, r#"log_term":3"#, r#"log_term":5"#, "8@5 is newer than the message"),
        (REQUEST_VOTE, r#"index":8"#, r#"index":18446744073709551615"#, r#""last_log_index" must"#),
        (APPEND, r#"leader_id":1"#, r#"leader_id":2"#, r#""leader_id" is n2"#),
        (APPEND, r#"prev_log_term":3"#, r#"prev_log_term":5"#, "7@5 is newer"),
        (APPEND, r#"prev_log_index":7"#, r#"prev_log_index":0"#, "no entry can be 0@3"),
        (APPEND, r#"prev_log_index":7"#, r#"prev_log_index":6"#, "8@3 does not follow 6@3"),
        (APPEND, r#"prev_log_index":7"#, r#"prev_log_index":8"#, "8@3 does not follow 8@3"),
        (APPEND, r#"prev_log_term":3"#, r#"prev_log_term":4"#, "8@3 is older than 7@4"),
        (APPEND, r#""index":9"#, r#""index":10"#, "10@4 does not follow 8@3"),
        (APPEND, r#"9,"term":4"#, r#"9,"term":2"#, "9@2 is older than 8@3"),
        (APPEND, r#"9,"term":4"#, r#"9,"term":5"#, "9@5 is newer"),
        (APPEND, "no-op", "", "9@4 has an empty command"),
        (APPEND, r#""no-op""#, "null", r#""command" must be a text"#),
        (APPEND, "entries", "entry", r#""entries" must be an array"#),
        (APPEND, r#"commit":7"#, r#"commit":9007199254740993"#, r#""leader_commit" must be"#),
        (APPEND, r#"round":3"#, r#"round":true"#, r#""round" must be"#),
        (SUCCESS, "true", "null", r#""success" must be"#),
        (SUCCESS, r#"index":9"#, r#"index":9007199254740993"#, r#""match_index" must be"#),
        (CONFLICT, "false", "true", "a success with a conflict"),
        (CONFLICT, r#""index":5"#, r#""index":0"#, "a conflict at 0, not in 1..7"),
        (CONFLICT, r#""index":5"#, r#""index":8"#, "a conflict at 8, not in 1..7"),
        (CONFLICT, r#""term":2"#, r#""term":5"#, "a conflict in term 5 after 4"),
        (CONFLICT, r#"{"prev"#, r#"{"before"#, r#""prev_log_index" must be"#),
        (CHUNK, r#"leader_id":1"#, r#"leader_id":2"#, r#""leader_id" is n2"#),
        (CHUNK, r#"index":9,"#, r#"index":0,"#, "no entry can be 0@3"),
        (CHUNK, r#"9,"last_included_term":3"#, r#"0,"last_included_term":0"#, "of nothing"),
        (CHUNK, r#"included_term":3"#, r#"included_term":5"#, "9@5 is newer than the message"),
        (CHUNK, r#""offset":0"#, r#""offset":-1"#, r#""offset" must be"#),
        (CHUNK, r#""data":"#, r#""date":"#, r#""data" must be a text"#),
        (CHUNK, r#""done":false"#, r#""done":0"#, r#""done" must be true"#),
        (CHUNK_TAKEN, r#"index":9"#, r#"index":9007199254740993"#, r#""last_included_index" must"#),
        (CHUNK_TAKEN, r#""offset":43"#, r#""offset":"43""#, r#""offset" must be"#),
    ];

    #[test]
    fn letter_refuses_what_no_server_sends() {
        for (text, old, new, reason) in REFUSED {
            let text = text.replacen(old, new, 1);
            let why = envelope(text.as_bytes()).expect_err(&text);
            assert!(why.contains(reason) && !why.contains(char::is_control), "{text}: {why}");
        }
    }

    #[test]
    fn rpc_by_hand_needs_only_what_figure_2_has() {
        let by_hand = |kind, text: &str| rpc_by_hand(kind, &Json::parse(text).unwrap());
        let vote = r#"{"term":4,"candidate_id":1,"last_log_index":8,"last_log_term":3}"#;
        let append = concat!(
            r#"{"term":4,"leader_id":1,"prev_log_index":7,"prev_log_term":3,"entries":"#,
            r#"[{"term":3,"command":"@c1:7 say \"a\nb\""},{"term":4,"command":"no-op"}],"#,
            r#""leader_commit":7}"#
        );
        let [(request_vote, _), _, (mut append_entries, _), ..] = messages();
        assert_eq!(by_hand("RequestVote", vote), Ok(request_vote));
        let Rpc::AppendEntries(rpc) = &mut append_entries else { unreachable!() };
        rpc.round = 0;
        assert_eq!(by_hand("AppendEntries", append), Ok(append_entries));
        for (kind, text, reason) in [
            ("RequestVote", append, r#""candidate_id" must be"#),
            ("AppendEntries", &append.replace(r#""term":3,"#, r#""term":2,"#), "8@2 is older"),
            ("AppendEntriesReply", append, "no RPC of Figure 2"),
        ] {
            let why = by_hand(kind, text).expect_err(text);
            assert!(why.contains(reason), "{why}");
        }
    }

    #[test]
    fn check_address_lets_nothing_through_that_a_location_could_obey() {
        let longest = format!("{}:5001", "x".repeat(250));
        for address in ["localhost:5001", "10.0.0.2:1", "[::1]:65535", "node_1.a-b:80", &longest] {
            assert_eq!(check_address(address), Ok(()));
        }
        let hosts = "a/b,u@a,a#,a?,a\",<a>,a b,a\r\nX,\u{e4},a\\b,".split(',');
        let addresses = hosts.map(|host| format!("{host}:80"));
        let others = [
            "",
            "a",
            "a:",
            "a:+1",
            "::1:1",
            "[::1]:0",
            "[a]:1",
            "a:0",
            "a:65536",
            "a:x",
            &format!("x{longest}"),
        ];
        for address in addresses.chain(others.map(str::to_string)) {
            let why = check_address(&address).expect_err(&address);
            assert!(why.starts_with(r#""address" must be host:port"#), "{why}");
        }
    }

    /// What the brain counts on, asked in another way than above.
    fn is_sane(rpc: &Rpc) -> bool {
        let are_small = |numbers: &[u64]| numbers.iter().all(|&number| number <= MAX_NUMBER);
        let term = rpc.term();
        let holds = match rpc {
            Rpc::RequestVote(rpc) => are_small(&[rpc.last_log_index]) && rpc.last_log_term <= term,
            Rpc::RequestVoteReply(_) => true,
            Rpc::AppendEntries(rpc) => {
                let ids = [rpc.prev_log()].into_iter().chain(rpc.entries.iter().map(Entry::id));
                let ids: Vec<EntryId> = ids.collect();
                are_small(&[rpc.prev_log_index, rpc.leader_commit, rpc.round])
                    && ids.windows(2).all(|pair| pair[0].index + 1 == pair[1].index)
                    && ids.iter().map(|id| id.term).chain([term]).is_sorted()
            }
            Rpc::InstallSnapshot(rpc) => {
                let InstallSnapshot { last_included_index, last_included_term, offset, .. } = rpc;
                let is_entry = *last_included_index > 0 && *last_included_term > 0;
                are_small(&[*last_included_index, *offset])
                    && (is_entry && *last_included_term <= term)
            }
            Rpc::InstallSnapshotReply(reply) => {
                are_small(&[reply.last_included_index, reply.offset])
            }
            Rpc::AppendEntriesReply(AppendEntriesReply {
                match_index, round, conflict, ..
            }) => {
                let Conflict { prev_log_index, term: conflict_term, index } =
                    conflict.unwrap_or(Conflict { prev_log_index: 1, term, index: 1 });
                are_small(&[*match_index, *round, prev_log_index])
                    && (0 < index && index <= prev_log_index && conflict_term <= term)
            }
        };
        holds && term > 0 && are_small(&[term])
    }

    /// Texts with some pieces replaced by pieces of others: none does harm.
    #[test]
    fn letter_survives_mangled_texts() {
        let mut seed: u64 = 1;
        let mut random = |limit: usize| {
            // Xorshift (Marsaglia 2003): the same numbers in every run.
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % limit as u64) as usize
        };
        let texts = messages().map(|(_, text)| text);
        let pieces = texts.iter().flat_map(|text| text.split_inclusive([',', ':', '{', '[', '}']));
        let numbers = "0, 1, 9007199254740992, 9007199254740993, 18446744073709551615,";
        let pieces: Vec<&str> = pieces.chain(numbers.split(' ')).collect();
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let mut text = texts[random(texts.len())].to_string();
            for _ in 0..=random(3) {
                let old = pieces[random(pieces.len())];
                text = text.replacen(old, pieces[random(pieces.len())], 1 + random(2));
            }
            match envelope(text.as_bytes()).map(|envelope| envelope.body) {
                Ok(body) => {
                    accepted += 1;
                    assert!(matches!(body, Body::Rpc(rpc) if is_sane(&rpc)), "{text}");
                }
                Err(why) => {
                    refused += 1;
                    assert!(!why.contains('\n') && why.len() < 400, "{why}");
                }
            }
        }
        assert!(accepted > 1_000 && refused > 1_000, "{accepted} accepted, {refused} refused");
    }
}
