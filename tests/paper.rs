//! The rules of the paper, one test each: restated, obeyed, and left out.
//!
//! Most are runs of the lab's script language. Left out, the rule lets the named property fall, and
//! the checker must say so; obeyed, the same run is safe. Liveness rules have no moment at which
//! something falls: there the run ends with what an obedient cluster has reached, and one without
//! the rule has not. Servers are n1, n2…; "1@2" is the entry of index 1 and term 2.
//!
//! Each leader begins its term with a no-op, which serves as the entry that a run needs.

use raftlet::lab::journal::Power;
use raftlet::lab::script::{self, Lab};
use raftlet::lab::world::{Setup, World};
use raftlet::node::Node;
use raftlet::node::message::{Command, Entry, Index, Message, NodeId, RequestVoteReply, Rpc, Term};
use raftlet::node::role::Role;
use raftlet::node::rules::Property::{self, *};
use raftlet::node::rules::{Rule, Rules};
use raftlet::node::step::{Input, Millis, Output, Saved, Settings, Timing};

/// Without the rule, this property falls, and falls first; with it, the same run is safe.
fn falls(rule: Rule, property: Property, run: &str) {
    let name = rule.name();
    let broken = format!("without {name}{run}\nexpect broken {property:?}\n");
    if let Err(why) = script::run(&name, &broken) {
        panic!("{name} is left out, but {property} does not fall: {why}");
    }
    let mut lab = Lab::default();
    for line in run.lines() {
        let outcome = lab.command(line);
        // An obedient server may never have sent what the run delivers.
        let unsent = ["deliver", "drop", "duplicate"].iter().any(|verb| line.starts_with(verb));
        assert!(outcome.is_ok() || unsent, "{name} is obeyed, {line}: {outcome:?}");
    }
    lab.command("expect safe").unwrap_or_else(|why| panic!("{name} is obeyed, but {why}"));
}

/// With the rule, the run comes to what its last line expects; without it, all but that.
fn stalls(rule: Rule, run: &str) {
    let name = rule.name();
    if let Err(why) = script::run(&name, run) {
        panic!("{name} is obeyed, but the run does not come to its end: {why}");
    }
    let last_line = run.lines().count();
    match script::run(&name, &format!("without {name}{run}")) {
        Ok(_) => panic!("{name} is left out, and the run comes to its end all the same"),
        Err(why) => assert!(why.starts_with(&format!("{name}:{last_line}: expect")), "{why}"),
    }
}

// ---- State -------------------------------------------------------------------------------------

/// §5.2, State: a server that votes, restarts and forgets its vote can vote again in the same term.
#[test]
fn save_vote_5_2() {
    let run = "
cluster 3
timeout n1
timeout n2
deliver n1->n3
crash n3 unsaved
restart n3
deliver n3->n1
deliver n2->n3
deliver n3->n2";
    falls(Rule::SaveVote, ElectionSafety, run);
}

/// §5.2, State: votedFor is cleared by a newer term only, not by the leader's heartbeat.
#[test]
fn keep_vote_for_term_5_2() {
    let run = "
without NoOp
cluster 3
timeout n1
timeout n2
deliver n1->n3
deliver n3->n1
deliver n1->n3
deliver n2->n3
deliver n3->n2";
    falls(Rule::KeepVoteForTerm, ElectionSafety, run);
}

/// §5.3, State: n1 commits with n2's copy; n2 had not saved it, and is elected without it.
#[test]
fn save_entries_5_3() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
deliver n1->n2
crash n2 unsaved
deliver n2->n1
expect committed 1@1
restart n2
timeout n2
deliver n2->n3
deliver n3->n2";
    falls(Rule::SaveEntries, LeaderCompleteness, run);
}

// ---- RequestVote RPC ---------------------------------------------------------------------------

/// §5.1, RequestVote 1: a vote wasted on a candidate of an old term is missing in this one.
#[test]
fn refuse_old_candidate_5_1() {
    let run = "
cluster 3
term n2 = 1
term n3 = 2
timeout n1
timeout n2
deliver n1->n3
deliver n2->n3
deliver n3->n2
expect leader n2";
    stalls(Rule::RefuseOldCandidate, run);
}

/// §5.2, RequestVote 2: n3 votes for n1 and for n2.
#[test]
fn one_vote_per_term_5_2() {
    let run = "
cluster 3
timeout n1
timeout n2
deliver n1->n3
deliver n3->n1
deliver n2->n3
deliver n3->n2";
    falls(Rule::OneVotePerTerm, ElectionSafety, run);
}

/// §5.4.1, RequestVote 2: n1 votes for n2, whose log lacks what n1 has committed.
#[test]
fn up_to_date_log_5_4_1() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
deliver n1->n3 2
deliver n3->n1 2
expect committed 1@1
drop all
timeout n2
deliver n2->n1
deliver n1->n2";
    falls(Rule::UpToDateLog, LeaderCompleteness, run);
}

/// §5.4.1: n1's two entries of term 1 are longer than n3's one of term 2, and older.
#[test]
fn compare_last_term_5_4_1() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
propose n1 set a=1
drop all
timeout n2
deliver n2->n3
deliver n3->n2
deliver n2->n3
deliver n3->n2
expect committed 1@2
deliver n2->n1
drop all
timeout n1
deliver n1->n3
deliver n3->n1";
    falls(Rule::CompareLastTerm, LeaderCompleteness, run);
}

/// §5.4.1: both logs end in term 1; n3's is shorter.
#[test]
fn compare_last_index_5_4_1() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
deliver n1->n2
deliver n1->n3 2
deliver n2->n1
propose n1 set b=1
deliver n1->n2
deliver n2->n1
expect committed 2@1
drop all
timeout n3
deliver n3->n1
deliver n1->n3";
    falls(Rule::CompareLastIndex, LeaderCompleteness, run);
}

/// §5.4.1: with n3 dead, n1 (longer) and n2 (later) would refuse each other for ever.
#[test]
fn compare_as_pair_5_4_1() {
    let run = "
cluster 3
log n1 = 1 1
log n2 = 2
crash n3
timeout n1
run
timeout n2
run
timeout n1
run
timeout n2
run
expect leader n2";
    stalls(Rule::CompareAsPair, run);

    // What is left of the comparison without it: a log that is not behind in either gets the vote.
    for (candidate, voter) in [("1", "1"), ("1 1", "1"), ("1 2", "1 1")] {
        let logs = format!("log n1 = {candidate}\nlog n2 = {voter}\ncrash n3");
        let run = format!("without CompareAsPair\n{logs}\ntimeout n1\nrun\nexpect leader n1");
        script::run("CompareAsPair", &run).unwrap();
    }
}

// ---- AppendEntries RPC -------------------------------------------------------------------------

/// §5.1, AppendEntries 1: n1's message of term 1 overwrites on n3 what term 2 has committed there.
#[test]
fn refuse_old_leader_5_1() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
drop n1->n2
deliver n1->n3
timeout n2
deliver n2->n3
deliver n3->n2
deliver n2->n3
deliver n3->n2
expect committed 1@2
deliver n1->n3
deliver n2->n1
drop all
timeout n1
deliver n1->n3
deliver n3->n1";
    falls(Rule::RefuseOldLeader, LeaderCompleteness, run);
}

/// §5.3, AppendEntries 2: n2 takes n1's second entry behind a first that is another.
#[test]
fn match_prev_log_5_3() {
    let run = "
cluster 3
timeout n1
deliver n1->n3
deliver n3->n1
drop all
timeout n2
timeout n2
deliver n2->n3 2
deliver n3->n2 2
deliver n2->n1 2
drop all
timeout n1
deliver n1->n3
deliver n3->n1
deliver n1->n2 2";
    falls(Rule::MatchPrevLog, LogMatching, run);
}

/// §5.3, AppendEntries 2: n2's heartbeat follows 1@2 and says that index 1 is committed; n1 has
/// 1@1.
#[test]
fn match_prev_log_in_heartbeats_5_3() {
    let run = "
cluster 3
timeout n1
deliver n1->n3
deliver n3->n1
drop all
timeout n2
timeout n2
deliver n2->n3 2
deliver n3->n2 2
deliver n2->n3
deliver n3->n2
expect committed 1@2
drop all
timeout n3
deliver n3->n2
drop all
timeout n2
deliver n2->n3
deliver n3->n2
drop all
timeout n2
deliver n2->n1";
    falls(Rule::MatchPrevLogInHeartbeats, StateMachineSafety, run);
}

/// §5.3, AppendEntries 3: n1 keeps its own entry and says that it has the leader's.
#[test]
fn delete_conflicting_5_3() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
drop all
timeout n2
deliver n2->n3
deliver n3->n2
drop n2->n3
deliver n2->n1 2
deliver n1->n2 2
expect committed 1@2
drop all
timeout n1
deliver n1->n3
deliver n3->n1";
    falls(Rule::DeleteConflicting, LeaderCompleteness, run);
}

/// The same, with a second entry behind the conflict: two logs that agree in 2@2 and not before it.
#[test]
fn delete_conflicting_5_3_log_matching() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
drop all
timeout n2
deliver n2->n3
deliver n3->n2
propose n2 set c=1
drop all
timeout n2
deliver n2->n1
deliver n1->n2
deliver n2->n1";
    falls(Rule::DeleteConflicting, LogMatching, run);
}

/// §5.3, AppendEntries 4: an old message that ends earlier must not cut off what came after it.
#[test]
fn keep_matching_5_3() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
duplicate n1->n2
deliver n1->n2
deliver n2->n1
propose n1 set b=1
deliver 8
deliver n2->n1
expect committed 2@1
deliver 6
drop all
timeout n2
deliver n2->n3
deliver n3->n2";
    falls(Rule::KeepMatching, LeaderCompleteness, run);
}

/// §5.3, AppendEntries 5: the heartbeat vouches for nothing (it follows 0@0), so it commits
/// nothing.
#[test]
fn commit_up_to_last_new_5_3() {
    let run = "
cluster 3
timeout n1
deliver n1->n3
deliver n3->n1
drop all
timeout n2
timeout n2
deliver n2->n3 2
deliver n3->n2 2
deliver n2->n3
deliver n3->n2
expect committed 1@2
drop all
timeout n2
deliver n2->n1";
    falls(Rule::CommitUpToLastNew, StateMachineSafety, run);
}

// ---- Rules for Servers -------------------------------------------------------------------------

/// §5.3, All Servers 1: an entry applied twice.
#[test]
fn apply_in_order_5_3() {
    let run = "
cluster 1
timeout n1
propose n1 incr n
propose n1 incr n
tick 1";
    falls(Rule::ApplyInOrder, StateMachineSafety, run);
}

/// §5.1, All Servers 2: after a three-way split nobody ever votes again.
#[test]
fn adopt_newer_term_5_1() {
    let run = "
cluster 3
timeout n1
timeout n2
timeout n3
run 10000
expect leader";
    stalls(Rule::AdoptNewerTerm, run);
}

/// §5.2, Followers 2: the old leader n1 can only send, the new one dies. If n1's heartbeats held
/// back the others' timers, nobody would ever be elected.
#[test]
fn ignore_old_leaders_timer_5_2() {
    let run = "
cluster 5
timeout n1
run
cut n2->n1
cut n3->n1
cut n4->n1
cut n5->n1
timeout n2
run
expect leader n2
crash n2
run 10000
expect not follows n3 n2";
    stalls(Rule::IgnoreOldLeadersTimer, run);
}

/// §5.2, Candidates 1: n3, who voted for n1 in term 1, becomes a candidate in the same term.
#[test]
fn increment_term_5_2() {
    let run = "
cluster 3
term n1 = 1
term n2 = 1
term n3 = 1
timeout n1
deliver n1->n3
deliver n3->n1
timeout n3
deliver n3->n2
deliver n2->n3";
    falls(Rule::IncrementTerm, ElectionSafety, run);
}

/// §5.2, Candidates 2: n2's vote for term 1 reaches n1 in term 2, which n2 leads.
#[test]
fn count_votes_of_this_term_5_2() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
timeout n1
timeout n2
deliver n2->n3
deliver n3->n2
expect leader n2
deliver n2->n1";
    falls(Rule::CountVotesOfThisTerm, ElectionSafety, run);
}

/// §5.2, Candidates 2: n5's vote for n2 arrives twice.
#[test]
fn count_voters_once_5_2() {
    let run = "
cluster 5
timeout n1
timeout n2
deliver n1->n3
deliver n1->n4
deliver n3->n1
deliver n4->n1
deliver n2->n5
duplicate n5->n2
deliver n5->n2 2";
    falls(Rule::CountVotersOnce, ElectionSafety, run);
}

/// §5.2, Candidates 2: two of four is not a majority.
#[test]
fn majority_5_2() {
    let run = "
cluster 4
timeout n1
timeout n2
expect not leader n1
deliver n1->n3
deliver n3->n1
deliver n2->n4
deliver n4->n2";
    falls(Rule::Majority, ElectionSafety, run);
}

/// §5.2, Candidates 3: a candidate that hears from its term's leader follows it.
#[test]
fn yield_to_leader_5_2() {
    let run = "
cluster 3
timeout n1
timeout n3
deliver n1->n2
deliver n2->n1
deliver n1->n3 2
expect follower n3";
    stalls(Rule::YieldToLeader, run);
}

/// §5.2, Candidates 4: two live servers have split the vote.
#[test]
fn candidates_time_out_5_2() {
    let run = "
cluster 3
crash n3
timeout n1
timeout n2
run 10000
expect leader";
    stalls(Rule::CandidatesTimeOut, run);
}

/// §5.2: with equal timeouts all servers become candidates at once, again and again.
#[test]
fn random_timeouts_5_2() {
    let run = "
cluster 3
run 10000
expect leader";
    stalls(Rule::RandomTimeouts, run);
}

/// §5.2, Leaders 1: the others learn of a new leader at once.
#[test]
fn heartbeat_at_once_5_2() {
    let run = "
cluster 3
timeout n1
run
expect follows n2 n1";
    stalls(Rule::HeartbeatAtOnce, run);
}

/// §5.2, Leaders 1: without heartbeats the followers depose a leader that is alive.
#[test]
fn heartbeats_5_2() {
    let run = "
cluster 3
timeout n1
run 10000
expect term n1 1";
    stalls(Rule::Heartbeats, run);
}

/// §8: an entry of an earlier term, on every server, is committed when the new leader's no-op is.
#[test]
fn no_op_8() {
    let run = "
cluster 3
log n1 = 1
log n2 = 1
log n3 = 1
timeout n1
run
expect committed 1@1";
    stalls(Rule::NoOp, run);
}

/// §5.3, Leaders 2: n1's client waits for 2@1 and must not be told "done" when 2@2 is applied.
#[test]
fn answer_by_index_and_term_5_3() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
propose n1 set y=1
drop all
timeout n2
timeout n2
deliver n2->n3 2
deliver n3->n2 2
propose n2 set x=2
run
propose n2 set x=3
run
read n2 y
run";
    falls(Rule::AnswerByIndexAndTerm, Linearizability, run);
}

/// §5.3, Leaders 3: a follower whose log differs is never repaired if the leader does not go back.
#[test]
fn back_up_next_index_5_3() {
    let run = "
cluster 3
log n1 = 1 1 2
log n2 = 1 1 2
log n3 = 1 1
timeout n1
run
expect log n3 = 1 1 2 3";
    stalls(Rule::BackUpNextIndex, run);
}

/// §5.3, Leaders 3: n1's log has grown to two entries when n2 acknowledges the first.
#[test]
fn match_index_from_answer_5_3() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
propose n1 set b=1
deliver n1->n2
deliver n2->n1
drop all
timeout n2
deliver n2->n3
deliver n3->n2";
    falls(Rule::MatchIndexFromAnswer, LeaderCompleteness, run);
}

/// Dissertation B (DropStaleResponse): in term 3, n2's answer from term 1 counts for an entry
/// that n2 never saw.
#[test]
fn ignore_old_answers_dissertation_b() {
    let run = "
cluster 5
timeout n1
deliver n1->n3
deliver n1->n4
deliver n3->n1
deliver n4->n1
deliver n1->n2 2
deliver n2->n1 2
propose n1 set e=2
deliver n1->n2
drop n1->n3 all
drop n1->n4 all
drop n1->n5 all
timeout n3
deliver n3->n4
deliver n3->n5
deliver n4->n3
deliver n5->n3
deliver n3->n4
deliver n3->n5
deliver n3->n1 2
deliver n4->n3
deliver n5->n3
expect committed 1@2
timeout n1
deliver n1->n4
deliver n1->n5
deliver n4->n1
deliver n5->n1
deliver n1->n4
deliver n4->n1
deliver n2->n1
drop all
timeout n5
timeout n5
deliver n5->n2 2
deliver n5->n3 2
deliver n2->n5 2
deliver n3->n5 2";
    falls(Rule::IgnoreOldAnswers, LeaderCompleteness, run);
}

/// §5.4.2, Leaders 4, with three servers: n1 counts copies of its old entry 1@1, and n2, whose
/// entry is of a later term, is elected and lacks it. Figure 8 with five stands below.
#[test]
fn commit_own_term_only_5_4_2() {
    let run = "
cluster 3
batch 1
timeout n1
deliver n1->n2
deliver n2->n1
drop all
timeout n2
deliver n2->n3
deliver n3->n2
deliver n2->n1
drop all
timeout n1
deliver n1->n2
deliver n1->n3
deliver n3->n1
deliver n1->n3
deliver n3->n1
deliver n1->n3
deliver n3->n1
drop all
timeout n2
deliver n2->n3
deliver n3->n2";
    falls(Rule::CommitOwnTermOnly, LeaderCompleteness, run);
}

// ---- Snapshots: InstallSnapshot RPC, Figure 13 -------------------------------------------------

/// §7: 2@1 is on n1 alone. A snapshot in its place would count it as committed.
#[test]
fn snapshot_committed_only_7() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
deliver n1->n2
deliver n2->n1
expect committed 1@1
propose n1 set x=1
snapshot n1";
    falls(Rule::SnapshotCommittedOnly, StateMachineSafety, run);
}

/// §7, InstallSnapshot 1: the old leader n1 can only send, the new one dies. If n1's snapshot held
/// back n3's timer, n3 would follow it for ever.
#[test]
fn refuse_old_snapshot_7() {
    let run = "
cluster 3
cut n1->n3
timeout n1
run
snapshot n1
heal
cut n2->n1
cut n3->n1
timeout n2
run
expect follows n3 n2
crash n2
run 10000
expect candidate n3";
    stalls(Rule::RefuseOldSnapshot, run);
}

/// §7, InstallSnapshot 2: n3 has a piece of n1's first snapshot, and n1 goes on with its second.
#[test]
fn begin_at_first_chunk_7() {
    let run = "
cluster 3
chunk 20
cut n1->n3
timeout n1
run
snapshot n1
heal
timeout n1
deliver n1->n3
propose n1 @alice:1 set x=1
deliver n1->n2 2
deliver n2->n1 2
expect committed 2@1
snapshot n1
drop all
timeout n1
run";
    falls(Rule::BeginAtFirstChunk, StateMachineSafety, run);
}

/// §7, InstallSnapshot 3: the first chunk comes twice.
#[test]
fn write_at_offset_7() {
    let run = "
cluster 3
chunk 20
cut n1->n3
timeout n1
run
snapshot n1
heal
timeout n1
timeout n1
deliver n1->n3 2
run";
    falls(Rule::WriteAtOffset, StateMachineSafety, run);
}

/// §7, InstallSnapshot 4: n3 takes the first chunk for the whole.
#[test]
fn wait_for_all_chunks_7() {
    let run = "
cluster 3
chunk 20
cut n1->n3
timeout n1
run
snapshot n1
heal
timeout n1
deliver n1->n3";
    falls(Rule::WaitForAllChunks, StateMachineSafety, run);
}

/// §7, InstallSnapshot 5: n1 has discarded its log, starts again, and has nothing.
#[test]
fn save_snapshot_7() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
deliver n1->n2
deliver n2->n1
expect committed 1@1
snapshot n1
crash n1
restart n1
drop all
timeout n1
deliver n1->n3
deliver n3->n1";
    falls(Rule::SaveSnapshot, LeaderCompleteness, run);
}

/// §7, InstallSnapshot 5: n1's snapshot to 1@1 is late; n3 has one of its own to 2@1.
#[test]
fn ignore_older_snapshot_7() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
deliver n1->n2
deliver n2->n1
snapshot n1
timeout n1
deliver n1->n3 2
deliver n3->n1 2
propose n1 set x=1
deliver n1->n2 2
deliver n2->n1 2
expect committed 2@1
timeout n1
deliver 12
deliver 16
expect committed 2@1 on n3
snapshot n3
deliver n1->n3";
    falls(Rule::IgnoreOlderSnapshot, StateMachineSafety, run);
}

/// §7, InstallSnapshot 6: n1's snapshot to 1@1 is late; n2 has that entry, and 2@1 behind it, which
/// n1 has committed with n2's copy.
#[test]
fn retain_matching_7() {
    let run = "
cluster 3
timeout n1
deliver n1->n3
deliver n3->n1
deliver n1->n3
deliver n3->n1
expect committed 1@1
snapshot n1
timeout n1
deliver n1->n2 2
deliver n2->n1 2
propose n1 set x=1
deliver 11
deliver n2->n1
expect committed 2@1
deliver n1->n2
drop all
timeout n2
deliver n2->n3
deliver n3->n2";
    falls(Rule::RetainMatching, LeaderCompleteness, run);
}

/// §7, InstallSnapshot 7: n2's snapshot stands for 1@2, and n1 has 2@1 behind its own 1@1.
#[test]
fn discard_whole_log_7() {
    let run = "
cluster 3
timeout n1
deliver n1->n2
deliver n2->n1
propose n1 set x=1
drop all
timeout n2
deliver n2->n3
deliver n3->n2
deliver n2->n3
deliver n3->n2
expect committed 1@2
snapshot n2
drop all
timeout n2
deliver n2->n1";
    falls(Rule::DiscardWholeLog, LogMatching, run);
}

/// §7, InstallSnapshot 8: n3 has the snapshot and not its state, and goes on from there.
#[test]
fn restore_state_7() {
    let run = "
cluster 3
cut n1->n3
timeout n1
run
snapshot n1
heal
timeout n1
run
propose n1 set x=1
run
timeout n1
run";
    falls(Rule::RestoreState, StateMachineSafety, run);
}

/// §7: n1 has discarded the entry that n3 needs.
#[test]
fn send_snapshot_7() {
    let run = "
cluster 3
cut n1->n3
timeout n1
run
snapshot n1
heal
run 1000
expect committed 1@1 on n3";
    stalls(Rule::SendSnapshot, run);
}

/// Figure 13, beyond its rules: a transfer goes on where it broke off. Each line that delivers a
/// chunk or an answer loses or doubles another.
#[test]
fn snapshot_comes_through_loss_doubling_a_restart_and_another_leader() {
    let begin = "
cluster 3
chunk 8
cut n1->n3
cut n2->n3
timeout n1
run
propose n1 @alice:1 set x=42
run
timeout n1
run
snapshot n1
snapshot n2
heal
timeout n1
";
    for (accident, chunks) in [
        ("", 19),
        ("drop n1->n3\ntimeout n1\n", 20),
        ("deliver n1->n3\ndrop n3->n1\ntimeout n1\n", 20),
        ("duplicate n1->n3\ndeliver n1->n3 2\n", 19),
        ("deliver n1->n3\ndeliver n3->n1\ntimeout n1\n", 20),
        (
            "deliver n1->n3\ndeliver n3->n1\ndeliver n1->n3\ncrash n3\nrestart n3\n\
             timeout n1\nrun\ntimeout n1\n",
            23,
        ),
        // n2's own snapshot is the same text: it goes on behind the two chunks of n1.
        (
            "deliver n1->n3\ndeliver n3->n1\ndeliver n1->n3\ndrop all\ncrash n1\n\
             timeout n2\nrun\ntimeout n2\n",
            20,
        ),
    ] {
        let run = format!("{begin}{accident}run\nexpect applied n3 x=42\n");
        let text = script::run("chunks", &run).unwrap_or_else(|why| panic!("{accident}: {why}"));
        assert_eq!(text.matches("sends n3 its snapshot to 2@1").count(), chunks, "{text}");
        assert_eq!(text.matches("takes on").count(), 1, "{text}");
    }
}

/// §7 with §8: the sessions come with the snapshot, and a retry is answered as the first time.
#[test]
fn snapshot_restores_sessions_7_8() {
    let run = "
cluster 3
cut n1->n3
timeout n1
run
propose n1 @alice:1 incr x
run
snapshot n1
heal
timeout n1
run
crash n1
timeout n3
run
propose n3 @alice:1 incr x
run
expect answer 1
expect applied n3 x=1
expect safe";
    script::run("sessions", run).unwrap_or_else(|why| panic!("{why}"));
}

// ---- Client interaction ------------------------------------------------------------------------

/// §8: the answer to an increment is lost, and the client asks again.
#[test]
fn retry_applied_once_8() {
    let run = "
cluster 1
timeout n1
propose n1 @c:1 incr n
tick 1
propose n1 @c:1 incr n
tick 1
read n1 n";
    falls(Rule::RetryAppliedOnce, Linearizability, run);
}

/// §8: n1 is cut off with a client, while n2 commits x=2.
#[test]
fn confirm_leadership_8() {
    let run = "
cluster 3
timeout n1
run
propose n1 set x=1
run
cut n1
timeout n2
run
propose n2 set x=2
run
read n1 x";
    falls(Rule::ConfirmLeadership, Linearizability, run);
}

/// §8: an answer to a round of heartbeats confirms only the leader of the term in which it
/// began. n1 led term 1, and its round 1 reaches n3 in term 3, which n1 leads again. n3 refuses
/// it, and that refusal comes late, when n1 waits for round 1 of term 3 and n3 leads term 4.
#[test]
fn rounds_of_an_earlier_term_confirm_nothing_8() {
    let run = "
cluster 3
timeout n1
run
propose n1 set x=1
deliver n1->n3
deliver n3->n1
drop n1->n2
# n3 has more of the log than n2, and so it is n3 that is asked.
read n1 x
timeout n2
deliver n2->n1
drop n2->n3
drop n1->n2
timeout n1
# The request for a vote in term 3 overtakes the heartbeat of term 1.
deliver 17
deliver n3->n1
deliver n1->n3 2
deliver 22
expect committed 3@3
drop n1->n2 all
timeout n3
deliver n3->n2
deliver n2->n3
expect leader n3
deliver n3->n2
deliver n2->n3
propose n3 set x=2
deliver n3->n2
deliver n2->n3
deliver n3->n2
deliver n2->n3
expect committed 5@4
read n1 x
deliver 21
expect safe
expect answer none";
    script::run("rounds", run).unwrap();
}

/// §8: n2 leads and has x=2, but does not know yet that it is committed.
#[test]
fn read_after_own_commit_8() {
    let run = "
cluster 3
timeout n3
run
propose n3 set x=1
run
tick 60
run
propose n3 set x=2
deliver n3->n2
deliver n2->n3
drop all
timeout n2
deliver n2->n1
deliver n1->n2
drop all
read n2 x
deliver n2->n1
deliver n1->n2
run";
    falls(Rule::ReadAfterOwnCommit, Linearizability, run);
}

// ---- The hint of §5.3, and Figure 7 ------------------------------------------------------------

/// A log with these terms.
fn entries(terms: &[Term]) -> Vec<Entry> {
    let command = Command::no_op();
    let entry = |(index, &term)| Entry { index, term, command: command.clone() };
    (1..).zip(terms).map(entry).collect()
}

/// A server that has these terms in its log, and knows term 7.
fn server_with(id: u64, terms: &[Term], rules: Rules) -> Node {
    let saved = Saved { current_term: 7, entries: entries(terms), ..Saved::default() };
    let settings = Settings {
        id: NodeId(id),
        peers: (1..=7).filter(|&peer| peer != id).map(NodeId).collect(),
        timing: Timing::PAPER,
        rules,
        max_entries: 64,
        max_bytes: 1 << 20,
        max_chunk_bytes: 1 << 20,
        seed: id,
    };
    Node::new(settings, saved, 0)
}

/// What is sent from one server to another in these outputs.
fn sent(outputs: Vec<Output>, to: NodeId) -> Vec<Message> {
    let messages = outputs.into_iter().filter_map(|output| match output {
        Output::Send(message) if message.to == to => Some(message),
        _ => None,
    });
    messages.collect()
}

/// Carries messages between two servers until they have nothing more to say; returns behind which
/// index the leader tried to append, each time.
fn converse(leader: &mut Node, follower: &mut Node, first: Vec<Message>) -> Vec<Index> {
    let mut tried = Vec::new();
    let mut messages = first;
    while let Some(message) = messages.pop() {
        if let Rpc::AppendEntries(rpc) = &message.rpc {
            tried.push(rpc.prev_log_index);
        }
        let (here, there) = match message.to == leader.id() {
            true => (&mut *leader, follower.id()),
            false => (&mut *follower, leader.id()),
        };
        messages.extend(sent(here.step(1, Input::Receive(message)), there));
    }
    tried
}

fn terms_of(node: &Node) -> Vec<Term> {
    node.log.entries_from(1).iter().map(|entry| entry.term).collect()
}

/// Figure 7's leader, elected for term 8 by a, b, e and f, and its first messages.
fn figure_7_leader(rules: Rules) -> (Node, Vec<Output>) {
    let mut leader = server_with(1, &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6], rules);
    leader.step(0, Input::TimerFires);
    let mut outputs = Vec::new();
    for voter in [2, 3, 6] {
        let rpc = Rpc::RequestVoteReply(RequestVoteReply { term: 8, vote_granted: true });
        let vote = Message { from: NodeId(voter), to: leader.id(), rpc };
        outputs = leader.step(0, Input::Receive(vote));
    }
    (leader, outputs)
}

/// A follower, its log, whether it votes for the leader, how often it refuses until the logs
/// agree if the leader steps back by one, and behind which indexes the leader tries with the
/// hint.
type Follower = (&'static str, &'static [Term], bool, usize, &'static [Index]);

const FIGURE_7: [Follower; 6] = [
    ("a", &[1, 1, 1, 4, 4, 5, 5, 6, 6], true, 1, &[10, 9]),
    ("b", &[1, 1, 1, 4], true, 6, &[10, 4]),
    ("c", &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6], false, 0, &[10]),
    ("d", &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7], false, 0, &[10]),
    ("e", &[1, 1, 1, 4, 4, 4, 4], true, 5, &[10, 7, 5]),
    ("f", &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], true, 7, &[10, 6, 3]),
];

/// §5.4.1 on Figure 7: who votes for the leader of term 8.
#[test]
fn figure_7_votes() {
    for (id, (name, terms, votes, ..)) in (2..).zip(FIGURE_7) {
        let mut leader = server_with(1, &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6], Rules::ALL);
        let mut follower = server_with(id, terms, Rules::ALL);
        let asks = sent(leader.step(0, Input::TimerFires), follower.id());
        let answers = sent(follower.step(0, Input::Receive(asks[0].clone())), leader.id());
        let expected = Rpc::RequestVoteReply(RequestVoteReply { term: 8, vote_granted: votes });
        assert_eq!(answers[0].rpc, expected, "follower {name}");
    }
}

/// The leader's tries to repair a follower; all but the last are refused.
fn repair(id: u64, terms: &[Term], rules: Rules) -> Vec<Index> {
    let (mut leader, outputs) = figure_7_leader(rules);
    let mut follower = server_with(id, terms, rules);
    let first = sent(outputs, follower.id());
    let tried = converse(&mut leader, &mut follower, first);
    assert_eq!(terms_of(&follower), terms_of(&leader), "{id}");
    tried
}

/// §5.3, end: without the hint the leader goes back one entry a refusal, with it a term.
#[test]
fn fast_backup_5_3_figure_7() {
    for (id, (name, terms, _, refusals, tried)) in (2..).zip(FIGURE_7) {
        let slowly = repair(id, terms, Rules::ALL.without(Rule::FastBackup));
        let one_by_one: Vec<Index> = (0..=refusals as Index).map(|back| 10 - back).collect();
        assert_eq!(slowly, one_by_one, "follower {name}, without the hint");
        assert_eq!(repair(id, terms, Rules::ALL), tried, "follower {name}, with the hint");
    }
}

/// §5.3 on Figure 7: heartbeats alone delete nothing; c and d lose what they have too much when an
/// entry comes to its place.
#[test]
fn figure_7_extra_entries_stay_until_they_conflict() {
    let rules = Rules::ALL.without(Rule::NoOp);
    for (id, (name, terms, ..)) in (2..).zip(FIGURE_7).filter(|(id, _)| [4, 5].contains(id)) {
        let (mut leader, outputs) = figure_7_leader(rules);
        let mut follower = server_with(id, terms, rules);
        let heartbeat = sent(outputs, follower.id());
        converse(&mut leader, &mut follower, heartbeat);
        assert_eq!(terms_of(&follower), terms, "follower {name}");
        let outputs = leader.step(1, Input::Propose(vec![(1, Command::new("set x=1"))]));
        let entry = sent(outputs, follower.id());
        converse(&mut leader, &mut follower, entry);
        assert_eq!(terms_of(&follower), [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8], "follower {name}");
    }
}

// ---- Rules whose effect is measured ------------------------------------------------------------

/// Five servers, the leader dead from the start; n4 and n5 lack an entry and cannot win. How long
/// there is no leader, in ms of virtual time.
fn downtime_ms(seed: u64, rules: Rules) -> Millis {
    let setup = Setup { rules, seed, ..Setup::of(5) };
    let mut world = World::new(&setup);
    for id in world.ids() {
        let terms: &[Term] = if id.0 < 4 { &[1, 1] } else { &[1] };
        let entries = entries(terms);
        world.lay(id, Saved { current_term: 1, entries, ..Saved::default() });
    }
    world.crash(NodeId(1), Power::Stays);
    let leads =
        |world: &World, id| world.node(id).is_some_and(|node| matches!(node.role, Role::Leader(_)));
    while !world.ids().any(|id| leads(&world, id)) && world.now < 60_000 {
        let next = world.next(true).expect("timers run");
        world.happen(next);
    }
    world.now
}

fn p99_of_downtime_ms(rules: Rules) -> Millis {
    let mut trials: Vec<Millis> = (0..1000).map(|seed| downtime_ms(seed, rules)).collect();
    trials.sort_unstable();
    trials[989]
}

/// §5.2, Followers 2: if every RequestVote reset the timer, candidates that cannot win would hold
/// back those that can.
#[test]
fn reset_timer_sparingly_5_2() {
    let sparingly = p99_of_downtime_ms(Rules::ALL);
    let always = p99_of_downtime_ms(Rules::ALL.without(Rule::ResetTimerSparingly));
    assert!(
        always > 2 * sparingly,
        "p99 of the downtime: {sparingly} ms, without the rule {always}"
    );
}

// ---- Figure 8 ----------------------------------------------------------------------------------

/// (a) to (c), with the figure's terms. n1 leads term 2 with n2 and n3 and replicates to n2
/// only; n5 leads term 3 with n3 and n4 and writes alone; n1 leads term 4 with n2 and n3, writes
/// 3@4, and goes on replicating 2@2, to n3. As in the figure, leaders write when clients ask:
/// there are no no-ops.
const FIGURE_8_A_TO_C: &str = "
without NoOp
cluster 5
batch 1
log n1 = 1
log n2 = 1
log n3 = 1
log n4 = 1
log n5 = 1
# (a)
timeout n1
deliver n1->n2
deliver n1->n3
deliver n2->n1
deliver n3->n1
expect leader n1
expect term n1 2
deliver n1->n2
deliver n2->n1
propose n1 set x=2
deliver n1->n2
drop all
expect log n1 = 1 2
expect log n2 = 1 2
expect log n3 = 1
expect log n4 = 1
expect log n5 = 1
# (b)
crash n1
timeout n5
timeout n5
deliver n5->n3 2
deliver n5->n4 2
deliver n3->n5 2
deliver n4->n5 2
expect leader n5
expect term n5 3
propose n5 set x=3
drop all
expect log n5 = 1 3
# (c)
crash n5
restart n1
timeout n1
timeout n1
deliver n1->n2 2
deliver n1->n3 2
deliver n2->n1 2
deliver n3->n1 2
expect leader n1
expect term n1 4
deliver n1->n2
deliver n2->n1
deliver n1->n3
deliver n3->n1
propose n1 set x=4
deliver n1->n3
deliver n3->n1
expect log n1 = 1 2 4
expect log n2 = 1 2
expect log n3 = 1 2
expect log n4 = 1
expect not committed 2@2
";

/// (d): n1 crashes; n5, whose last term is later, wins and overwrites 2@2 everywhere. It was on
/// a majority and never committed: that is why Leaders 4 counts only entries of the leader's own
/// term.
#[test]
fn figure_8_d_overwrites_what_was_on_a_majority() {
    let ending = "
drop all
crash n1
restart n5
timeout n5
timeout n5
deliver n5->n2 2
deliver n5->n3 2
deliver n5->n4 2
deliver n2->n5 2
deliver n3->n5 2
deliver n4->n5 2
expect leader n5
expect term n5 5
restart n1
run 1000
expect log n1 = 1 3
expect log n2 = 1 3
expect log n3 = 1 3
expect log n4 = 1 3
expect log n5 = 1 3
expect safe
";
    script::run("figure 8", &format!("{FIGURE_8_A_TO_C}{ending}")).unwrap();

    let broken = format!("without CommitOwnTermOnly{FIGURE_8_A_TO_C}");
    let broken = broken.replace("expect not committed 2@2\n", "expect committed 2@2\n");
    let ending = ending.split("expect leader n5").next().unwrap();
    let ending = format!("{ending}expect broken LeaderCompleteness\n");
    script::run("figure 8", &format!("{broken}{ending}")).unwrap();
}

/// (e): or n1 gets 3@4 onto a majority first. Then 2@2 is committed with it, and n5 cannot win.
#[test]
fn figure_8_e_commits_what_came_before() {
    let ending = "
deliver n1->n3
deliver n3->n1
deliver n1->n2
deliver n2->n1
expect committed 3@4
expect log n1 = 1 2 4
expect log n2 = 1 2 4
expect log n3 = 1 2 4
expect log n4 = 1
drop all
crash n1
restart n5
timeout n5
timeout n5
deliver n5->n2 2
deliver n5->n3 2
deliver n5->n4 2
deliver n2->n5 2
deliver n3->n5 2
deliver n4->n5 2
expect not leader n5
expect safe
";
    script::run("figure 8", &format!("{FIGURE_8_A_TO_C}{ending}")).unwrap();
}
