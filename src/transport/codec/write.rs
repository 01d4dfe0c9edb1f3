//! Messages into text: one JSON object each, with the names and the order of Figure 2.
//!
//! `{"type":"RequestVote","from":1,"to":2,"term":4,"candidate_id":1,"last_log_index":8,…}` is one
//! line of a TCP connection. A datagram names the cluster, too, which on TCP only the Hello does.

use super::Hello;
use crate::json::{self, ObjectWriter, Value};
use crate::node::message::{
    AppendEntries, AppendEntriesReply, Conflict, Entry, InstallSnapshot, InstallSnapshotReply,
    Message, NodeId, RequestVote, RequestVoteReply, Rpc,
};

/// The text of a Hello.
pub fn hello(cluster: &str, from: NodeId, to: NodeId, hello: &Hello) -> String {
    let Hello { address, instance } = hello;
    object(|out| {
        head(out, "Hello", Some(cluster), from, to);
        out.add(address.as_deref().map(|address| ("address", Value::borrowed(address))));
        out.add(instance.map(|instance| ("instance", instance.into())));
    })
}

/// What is answered to a sender that is not understood, or not welcome.
pub fn refused(why: &str) -> String {
    object(|out| out.add([("type", Value::borrowed("Refused")), ("why", Value::borrowed(why))]))
}

/// The same as a datagram, which must say from whom and to whom it is.
pub fn refused_datagram(cluster: &str, from: NodeId, to: NodeId, why: &str) -> String {
    object(|out| {
        head(out, "Refused", Some(cluster), from, to);
        out.add([("why", Value::borrowed(why))]);
    })
}

/// The text of a message.
pub fn message(message: &Message, cluster: Option<&str>) -> String {
    let mut text = String::new();
    append_message(&mut text, message, cluster);
    text
}

/// Appends the text of a message.
pub fn append_message(text: &mut String, message: &Message, cluster: Option<&str>) {
    let kind = match &message.rpc {
        Rpc::RequestVote(_) => "RequestVote",
        Rpc::RequestVoteReply(_) => "RequestVoteReply",
        Rpc::AppendEntries(_) => "AppendEntries",
        Rpc::AppendEntriesReply(_) => "AppendEntriesReply",
        Rpc::InstallSnapshot(_) => "InstallSnapshot",
        Rpc::InstallSnapshotReply(_) => "InstallSnapshotReply",
    };
    let mut out = ObjectWriter::new(text);
    head(&mut out, kind, cluster, message.from, message.to);
    fields(&mut out, &message.rpc);
    out.end();
}

/// What a reply says, without type, sender and receiver: the answer to an RPC by hand. An RPC is
/// written in the same way.
pub fn reply_fields(reply: &Rpc) -> String {
    object(|out| fields(out, reply))
}

/// The text of an object with what is added to it.
fn object(add_members: impl FnOnce(&mut ObjectWriter)) -> String {
    let mut text = String::new();
    let mut out = ObjectWriter::new(&mut text);
    add_members(&mut out);
    out.end();
    text
}

fn head(out: &mut ObjectWriter, kind: &str, cluster: Option<&str>, from: NodeId, to: NodeId) {
    out.add([("type", Value::borrowed(kind))]);
    out.add(cluster.map(|cluster| ("cluster", Value::borrowed(cluster))));
    out.add([("from", from.0.into()), ("to", to.0.into())]);
}

fn fields(out: &mut ObjectWriter, rpc: &Rpc) {
    match rpc {
        Rpc::RequestVote(rpc) => request_vote(out, rpc),
        Rpc::RequestVoteReply(reply) => request_vote_reply(out, reply),
        Rpc::AppendEntries(rpc) => append_entries(out, rpc),
        Rpc::AppendEntriesReply(reply) => append_entries_reply(out, reply),
        Rpc::InstallSnapshot(rpc) => install_snapshot(out, rpc),
        Rpc::InstallSnapshotReply(reply) => install_snapshot_reply(out, reply),
    }
}

fn request_vote(out: &mut ObjectWriter, rpc: &RequestVote) {
    out.add([
        ("term", rpc.term.into()),
        ("candidate_id", rpc.candidate_id.0.into()),
        ("last_log_index", rpc.last_log_index.into()),
        ("last_log_term", rpc.last_log_term.into()),
    ]);
}

fn request_vote_reply(out: &mut ObjectWriter, reply: &RequestVoteReply) {
    out.add([("term", reply.term.into()), ("vote_granted", reply.vote_granted.into())]);
}

fn append_entries(out: &mut ObjectWriter, rpc: &AppendEntries) {
    out.add([
        ("term", rpc.term.into()),
        ("leader_id", rpc.leader_id.0.into()),
        ("prev_log_index", rpc.prev_log_index.into()),
        ("prev_log_term", rpc.prev_log_term.into()),
    ]);
    let mut entries = String::new();
    json::append_array(&mut entries, &rpc.entries, append_entry);
    out.add_text("entries", &entries);
    out.add([("leader_commit", rpc.leader_commit.into()), ("round", rpc.round.into())]);
}

/// Appends an entry as it stands in AppendEntries.
pub fn append_entry(text: &mut String, entry: &Entry) {
    let mut out = ObjectWriter::new(text);
    out.add([
        ("index", entry.index.into()),
        ("term", entry.term.into()),
        ("command", Value::borrowed(entry.command.as_str())),
    ]);
    out.end();
}

/// How many bytes an entry has in AppendEntries.
pub fn entry_bytes(entry: &Entry) -> usize {
    let mut text = String::new();
    append_entry(&mut text, entry);
    text.len()
}

fn append_entries_reply(out: &mut ObjectWriter, reply: &AppendEntriesReply) {
    out.add([
        ("term", reply.term.into()),
        ("success", reply.success.into()),
        ("match_index", reply.match_index.into()),
    ]);
    out.add(reply.conflict.map(|conflict| ("conflict", conflict_json(conflict))));
    out.add([("round", reply.round.into())]);
}

fn conflict_json(conflict: Conflict) -> Value<'static> {
    Value::object([
        ("prev_log_index", conflict.prev_log_index.into()),
        ("term", conflict.term.into()),
        ("index", conflict.index.into()),
    ])
}

fn install_snapshot(out: &mut ObjectWriter, rpc: &InstallSnapshot) {
    out.add([
        ("term", rpc.term.into()),
        ("leader_id", rpc.leader_id.0.into()),
        ("last_included_index", rpc.last_included_index.into()),
        ("last_included_term", rpc.last_included_term.into()),
        ("offset", rpc.offset.into()),
        ("data", Value::borrowed(&rpc.data)),
        ("done", rpc.done.into()),
    ]);
}

fn install_snapshot_reply(out: &mut ObjectWriter, reply: &InstallSnapshotReply) {
    out.add([
        ("term", reply.term.into()),
        ("last_included_index", reply.last_included_index.into()),
        ("offset", reply.offset.into()),
        ("done", reply.done.into()),
    ]);
}

#[cfg(test)]
pub mod tests {
    use super::super::{Body, Envelope, read};
    use super::*;
    use crate::json::Json;
    use crate::node::message::Command;

    /// The texts below stand there as they are here.
    const DOCUMENT: &str = include_str!("../../../docs/PROTOCOL.md");

    pub const HELLO: &str = concat!(
        r#"{"type":"Hello","cluster":"raftlet","from":1,"to":2,"#,
        r#""address":"localhost:5001","instance":77}"#
    );
    pub const REQUEST_VOTE: &str = concat!(
        r#"{"type":"RequestVote","from":1,"to":2,"term":4,"candidate_id":1,"#,
        r#""last_log_index":8,"last_log_term":3}"#
    );
    pub const GRANTED: &str =
        r#"{"type":"RequestVoteReply","from":2,"to":1,"term":4,"vote_granted":true}"#;
    pub const APPEND: &str = concat!(
        r#"{"type":"AppendEntries","from":1,"to":2,"term":4,"leader_id":1,"#,
        r#""prev_log_index":7,"prev_log_term":3,"entries":[{"index":8,"term":3,"#,
        r#""command":"@c1:7 say \"a\nb\""},{"index":9,"term":4,"command":"no-op"}],"#,
        r#""leader_commit":7,"round":3}"#
    );
    pub const SUCCESS: &str = concat!(
        r#"{"type":"AppendEntriesReply","from":2,"to":1,"term":4,"success":true,"#,
        r#""match_index":9,"round":3}"#
    );
    pub const CONFLICT: &str = concat!(
        r#"{"type":"AppendEntriesReply","from":2,"to":1,"term":4,"success":false,"#,
        r#""match_index":0,"conflict":{"prev_log_index":7,"term":2,"index":5},"round":3}"#
    );
    pub const CHUNK: &str = concat!(
        r#"{"type":"InstallSnapshot","from":1,"to":2,"term":4,"leader_id":1,"#,
        r#""last_included_index":9,"last_included_term":3,"offset":0,"#,
        r#""data":"{\"sessions\":0,\"session_commands\":0}\nset x=1","done":false}"#
    );
    pub const CHUNK_TAKEN: &str = concat!(
        r#"{"type":"InstallSnapshotReply","from":2,"to":1,"term":4,"#,
        r#""last_included_index":9,"offset":43,"done":false}"#
    );

    const REFUSED: &str = r#"{"type":"Refused","why":"no"}"#;
    const GRANTED_DATAGRAM: &str = concat!(
        r#"{"type":"RequestVoteReply","cluster":"raftlet","from":2,"to":1,"#,
        r#""term":4,"vote_granted":true}"#
    );
    const REFUSED_DATAGRAM: &str =
        r#"{"type":"Refused","cluster":"raftlet","from":1,"to":2,"why":"no"}"#;

    fn append() -> Rpc {
        let entry = |index, term, text| Entry { index, term, command: Command::new(text) };
        Rpc::AppendEntries(AppendEntries {
            term: 4,
            leader_id: NodeId(1),
            prev_log_index: 7,
            prev_log_term: 3,
            entries: vec![entry(8, 3, "@c1:7 say \"a\nb\""), entry(9, 4, Command::NO_OP)],
            leader_commit: 7,
            round: 3,
        })
    }

    /// Every kind of message, and its text.
    pub fn messages() -> [(Rpc, &'static str); 7] {
        let reply = |success, match_index, conflict| {
            let reply = AppendEntriesReply { term: 4, success, match_index, conflict, round: 3 };
            Rpc::AppendEntriesReply(reply)
        };
        let conflict = Conflict { prev_log_index: 7, term: 2, index: 5 };
        let (term, candidate_id, last_log_index, last_log_term) = (4, NodeId(1), 8, 3);
        let vote = RequestVote { term, candidate_id, last_log_index, last_log_term };
        let chunk = InstallSnapshot {
            term,
            leader_id: NodeId(1),
            last_included_index: 9,
            last_included_term: 3,
            offset: 0,
            data: "{\"sessions\":0,\"session_commands\":0}\nset x=1".into(),
            done: false,
        };
        let (last_included_index, offset, done) = (9, 43, false);
        let taken = InstallSnapshotReply { term, last_included_index, offset, done };
        [
            (Rpc::RequestVote(vote), REQUEST_VOTE),
            (Rpc::RequestVoteReply(RequestVoteReply { term, vote_granted: true }), GRANTED),
            (append(), APPEND),
            (reply(true, 9, None), SUCCESS),
            (reply(false, 0, Some(conflict)), CONFLICT),
            (Rpc::InstallSnapshot(chunk), CHUNK),
            (Rpc::InstallSnapshotReply(taken), CHUNK_TAKEN),
        ]
    }

    #[test]
    fn messages_survive_the_way() {
        for (rpc, text) in messages() {
            let envelope = read::envelope(text.as_bytes()).unwrap();
            assert_eq!(envelope.body, Body::Rpc(rpc.clone()), "{text}");
            let message = Message { from: envelope.from, to: envelope.to, rpc };
            assert_eq!(super::message(&message, None), text);
            assert_eq!(envelope.cluster, None);
            let text = super::message(&message, Some("a"));
            assert!(text.contains(r#"","cluster":"a","from":"#), "{text}");
            assert_eq!(
                read::envelope(text.as_bytes()),
                Ok(Envelope { cluster: Some("a".into()), ..envelope })
            );
        }
    }

    #[test]
    fn hello_and_refused_survive_the_way() {
        let address = Some("localhost:5001".to_string());
        let whole = Hello { address, instance: Some(77) };
        let short = Hello::default();
        let short_text = r#"{"type":"Hello","cluster":"raftlet","from":1,"to":2}"#;
        for (said, expected) in [(whole, HELLO), (short, short_text)] {
            let text = hello("raftlet", NodeId(1), NodeId(2), &said);
            assert_eq!(text, expected);
            let (cluster, from, to) = (Some("raftlet".to_string()), NodeId(1), NodeId(2));
            let body = Body::Hello(said);
            assert_eq!(read::envelope(text.as_bytes()), Ok(Envelope { cluster, from, to, body }));
        }
        assert_eq!(refused_datagram("raftlet", NodeId(1), NodeId(2), "no"), REFUSED_DATAGRAM);
        let envelope = read::envelope(REFUSED_DATAGRAM.as_bytes()).unwrap();
        assert_eq!(envelope.body, Body::Refused("no".to_string()));
        assert_eq!(refused("no"), REFUSED);
        assert_eq!(
            read::refusal(refused("no \"a\" \u{1b}[2J").as_bytes()),
            "refused: no \"a\" ?[2J"
        );
        assert!(read::refusal(refused(&"x".repeat(1000)).as_bytes()).len() < 250);
        assert_eq!(read::refusal(b"HTTP/1.1 503\r\n"), "it answered \"HTTP/1.1 503??\"");
    }

    #[test]
    fn reply_fields_are_figure_2s() {
        let [_, (reply, _), ..] = messages();
        assert_eq!(reply_fields(&reply), r#"{"term":4,"vote_granted":true}"#);
    }

    #[test]
    fn document_has_every_message_and_explains_its_fields() {
        let [_, (rpc, _), ..] = messages();
        let granted = Message { from: NodeId(2), to: NodeId(1), rpc };
        assert_eq!(message(&granted, Some("raftlet")), GRANTED_DATAGRAM);
        let others = [HELLO, REFUSED, GRANTED_DATAGRAM, REFUSED_DATAGRAM];
        for text in messages().map(|(_, text)| text).into_iter().chain(others) {
            assert!(DOCUMENT.contains(&format!("\n{text}\n")), "{text} is missing");
            for field in fields_of(&Json::parse(text).unwrap()) {
                let explains = |row: &str| row.starts_with('|') && row.contains(&field);
                assert!(DOCUMENT.lines().any(explains), "{field} is not explained");
            }
        }
    }

    /// The names of all members, as a document writes them.
    fn fields_of(json: &Json) -> Vec<String> {
        match json {
            Json::Array(items) => items.iter().flat_map(fields_of).collect(),
            Json::Object(members) => members
                .iter()
                .flat_map(|(name, value)| [vec![format!("`{name}`")], fields_of(value)].concat())
                .collect(),
            _ => Vec::new(),
        }
    }
}
