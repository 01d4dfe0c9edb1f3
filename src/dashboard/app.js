"use strict";

// The dashboard of raftlet. The page learns from the node that served it who the members are, and
// opens a stream of events to each of them (GET /events), so that it goes on when that node dies.
//
// Data flows one way: feeds → model → panels. A feed hears what a node tells and writes it down
// with the time; nothing is drawn there. A panel asks the model how all nodes were at a moment,
// and draws that: the present and the past are drawn by the same code, only the moment differs.
// What the reader does (menus, buttons, the form) goes to the nodes over HTTP and comes back
// through their feeds, like everything else that happens to them.
//
// Names in snake_case are the nodes' own, which are those of the paper's Figure 2.
//
// In this file: tools, members and feeds, model, moment, drawing, ring, logs, timeline, rules,
// store, figures, actions, menu, tour, start.

// ------------------------------------------------------------------------------------- Tools

const byId = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));
const name = (id) => `n${id}`;
const names = (ids) => ids.map(name).join(" ");

/** Sets an attribute if it is to change: else the browser has nothing to do. */
function set(element, attribute, value) {
  const text = String(value);
  if (element.getAttribute(attribute) !== text) element.setAttribute(attribute, text);
}

function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

function setAll(element, attributes) {
  for (const [attribute, value] of Object.entries(attributes)) set(element, attribute, value);
  return element;
}

/** A new element of HTML, with attributes and text. */
function make(tag, attributes = {}, text = "") {
  const element = setAll(document.createElement(tag), attributes);
  element.textContent = text;
  return element;
}

/** A new element of SVG in a parent. */
function draw(parent, tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  parent.append(setAll(element, attributes));
  return element;
}

/** Arrow keys, Home and End move the focus from button to button in a box. */
function moveAmong(box, key) {
  const buttons = [...box.querySelectorAll("button:enabled")];
  const at = buttons.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: Math.max(at, 0) - 1, Home: 0, End: -1 }[key.key];
  if (to === undefined || !buttons.length) return;
  key.preventDefault();
  buttons.at(to % buttons.length).focus({ preventScroll: true });
  document.activeElement.scrollIntoView({ block: "nearest" });
}

/** The time of day: 14:03:22. */
function timeOfDay(time_ms) {
  const date = new Date(time_ms);
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

/** How long: 2 min 3 s. */
function duration(ms) {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/**
 * Asks a node or the launcher. Never throws: where no answer comes, status is 0, and where the
 * browser follows no redirect but will not say where it leads, 307.
 */
async function ask(address, method, path, body, patience_ms = 8000) {
  const request = { method, redirect: "manual", cache: "no-store" };
  request.signal = AbortSignal.timeout(patience_ms);
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers = { "Content-Type": "application/json" };
  }
  try {
    const response = await fetch(`http://${address}${path}`, request);
    if (response.type === "opaqueredirect") return { status: 307, json: {} };
    return { status: response.status, json: await response.json() };
  } catch {
    return { status: 0, json: { error: `no answer from ${address}` } };
  }
}

// ------------------------------------------------------------------------- Members and feeds

const FIRST_WAIT_MS = 500; // before a broken stream is tried again; it grows
const LONGEST_WAIT_MS = 3000;
const POLL_MS = 2000; // a node that answers, but gives no stream, is asked so often
const SILENCE_MS = 4000; // a node that tells nothing for so long is asked whether it lives

/** By number: where each is reached, its stream, and when it was heard last. */
const members = new Map();
const ids = () => [...members.keys()];
const majority = () => Math.floor(members.size / 2) + 1;

/** Who the members are, from the node that served this page. */
async function learnMembers() {
  for (;;) {
    const { status, json } = await ask(location.host, "GET", "/status");
    if (status === 200) {
      const all = [...json.peers, { id: json.id, address: location.host }];
      all.sort((a, b) => a.id - b.id);
      for (const { id, address } of all) {
        members.set(id, { id, address, wait_ms: FIRST_WAIT_MS, heard_at: Date.now() });
      }
      members.get(json.id).launcher = json.launcher;
      setText(byId("cluster"), json.cluster === "raftlet" ? "" : json.cluster);
      return;
    }
    await sleep(1000);
  }
}

/** Opens the stream of a node. */
function connect(member) {
  const source = new EventSource(`http://${member.address}/events`);
  member.source = source;
  const listen = (kind, hear) =>
    source.addEventListener(kind, (notice) => {
      member.heard_at = Date.now();
      hear(member, JSON.parse(notice.data));
    });
  source.addEventListener("open", () => (member.wait_ms = FIRST_WAIT_MS));
  source.addEventListener("error", () => doubt(member));
  listen("status", hearState);
  listen("state", hearState);
  listen("event", hearEvent);
  listen("events", hearEvents);
  listen("message", hearMessage);
  listen("messages", hearMessages);
}

/**
 * The stream broke off, or was silent for long: asks the node itself. A stream that is still open
 * from a node that answers had nothing to tell; any other is closed and tried again later. While
 * a node has no stream for us (it has too many subscribers), this is how it is polled.
 */
async function doubt(member) {
  if (member.in_doubt) return;
  member.in_doubt = true;
  const { status, json } = await ask(member.address, "GET", "/status", undefined, POLL_MS);
  member.in_doubt = false;
  member.heard_at = Date.now();
  const answers = status === 200;
  if (answers) hearState(member, json);
  else hearSilence(member);
  if (answers && member.source.readyState === EventSource.OPEN) return;
  member.source.close();
  setTimeout(() => connect(member), member.wait_ms);
  member.wait_ms = Math.min(member.wait_ms * 1.5, answers ? POLL_MS : LONGEST_WAIT_MS);
}

/** A process that was stopped (Ctrl+Z) keeps its connections and says nothing. */
function doubtTheSilent() {
  for (const member of members.values()) {
    if (Date.now() - member.heard_at > SILENCE_MS) doubt(member);
  }
}

// ------------------------------------------------------------------------------------- Model

const KEPT_MS = 10 * 60 * 1000; // how far back one can step
const BURST_MS = 250; // states of a busy node that follow each other faster are thinned out
const MOST_COMMANDS = 50000;
const MOST_EVENTS = 5000; // of each group
const MOST_MESSAGES = 50000; // under load less than 10 minutes: the older ones are forgotten
const LONGEST = 200; // letters of a command or value; a status cuts commands there, too

/**
 * By node: how it was, oldest first: {at, up, state, commands}. `state` is null until it was heard.
 */
const history = new Map();
const UNHEARD = { at: 0, up: false, state: null, commands: new Map() };
const latest = (id) => history.get(id)?.at(-1) ?? UNHEARD;

/**
 * Commands by the name of their entry, index@term. One for all nodes and all times is enough: two
 * logs that hold an entry of the same name hold the same command there, and the same entries
 * before it (Log Matching, §5.3). So a state need only tell where in its log each term begins
 * (`log_terms`), and the page can still show any log at any moment. Only where a disk was wiped
 * does another log begin, and with it new commands; the past keeps the old ones.
 */
let commands = new Map();

/** Events by group, and messages that were sent, oldest first. */
const GROUPS = ["elections", "log", "heartbeats", "reads", "faults", "messages"];
const happenings = new Map(GROUPS.map((group) => [group, []]));
let happened = 0;

/** Groups that are not whole any more: their oldest items were cut off. */
const forgotten = new Set();

/**
 * What nobody could read one by one: how many more there were than are shown, in this second
 * (`count`) and in the last (`rate`). Messages by their way ("1-2"), events by node and group.
 */
const surplus = new Map();

function hearState(member, state) {
  const is_server = member.address === location.host;
  if (is_server && isAnotherCluster(member, state)) return location.reload();
  if (isAnotherLog(member.id, state)) commands = new Map();
  for (const entry of state.log ?? []) remember(entry);
  delete state.log;
  record(member.id, true, state);
  set(document.body, "data-ready", true);
}

/** This page may speak only with those whom the node knew that served it. */
function isAnotherCluster(member, { peers, launcher }) {
  return peers.length + 1 !== members.size || launcher !== member.launcher;
}

/**
 * A committed entry is gone, or is another one now: the disk was wiped, and a new log begins. If
 * all disks were, the first node that tells of it begins the new commands, and the others join in.
 */
function isAnotherLog(id, { last_log_index, log = [] }) {
  const isOther = (entry) => {
    const known = commands.get(nameOf(entry));
    return known !== undefined && known !== cut(entry.command);
  };
  const before = latest(id);
  const is_gone = last_log_index < (before.state?.commit_index ?? 0);
  return (is_gone && before.commands === commands) || log.some(isOther);
}

function hearSilence(member) {
  const { at, up, state } = latest(member.id);
  if (up || at === 0) record(member.id, false, state);
}

/** Writes down how a node is now. */
function record(id, up, state) {
  const past = history.get(id);
  const item = { at: Date.now(), up, state, commands };
  const last = past.at(-1);
  if (last && state) shareTerms(last.state, state);
  if (past.length > 1 && isBurst(past.at(-2), last, item)) past.pop();
  past.push(item);
  // The oldest one tells how the node was up to the next.
  while (past.length > 1 && past[1].at < item.at - KEPT_MS) past.shift();
  noticeForTour(id, last, item);
  redraw("menu", "store");
  if (isLive()) redraw("headline", "ring", "logs");
}

/** Log Matching again: if the last term begins at the same entry, so did all before it. */
function shareTerms(older, newer) {
  const [a, b] = [older?.log_terms ?? [], newer.log_terms];
  if (a.length && a.length === b.length && nameOf(a.at(-1)) === nameOf(b.at(-1))) {
    newer.log_terms = a;
  }
}

/** Only indexes have moved, and little time has passed: the middle one need not be kept. */
function isBurst(first, middle, last) {
  const keys = ["role", "current_term", "paused", "log_terms"];
  const isAlike = (a, b) =>
    a.up === b.up && keys.every((key) => a.state?.[key] === b.state?.[key]);
  return last.at - first.at < BURST_MS && isAlike(first, middle) && isAlike(middle, last);
}

function remember(entry, of_log = commands) {
  of_log.set(nameOf(entry), cut(entry.command));
  if (of_log.size > MOST_COMMANDS) of_log.delete(of_log.keys().next().value);
}

/** The beginning of a text that may be a megabyte long. */
function cut(text) {
  if (text.length <= LONGEST) return text;
  const letters = [...text.slice(0, 2 * LONGEST + 2)]; // some letters are two units long
  return letters.length > LONGEST ? `${letters.slice(0, LONGEST).join("")}…` : text;
}

const OF_ELECTIONS = /^(transition|election_failed|vote_.*|follows)$/;
const OF_LOGS =
  /^(appended|deleted|append_refused|backed_up|committed|late_answer|.*snapshot.*)$/;

function groupOf(kind) {
  if (OF_ELECTIONS.test(kind)) return "elections";
  if (OF_LOGS.test(kind)) return "log";
  if (kind === "sending_heartbeat") return "heartbeats";
  return kind === "read_confirmed" ? "reads" : "faults";
}

function keep(group, item, most) {
  const list = happenings.get(group);
  happened += 1;
  list.push(Object.assign(item, { number: happened, at: Date.now() }));
  // In large steps: to cut one off at a time would move the whole list each time.
  if (list.length > most * 1.2) {
    list.splice(0, list.length - most);
    forgotten.add(group);
  }
  if (isLive()) redraw("timeline");
}

function hearEvent(_member, event) {
  keep(groupOf(event.kind), event, MOST_EVENTS);
}

function hearEvents(_member, { node, kind, count }) {
  const group = groupOf(kind);
  surplusOf(`${node} ${group}`, node, group).count += count;
}

/** A message on its way. At most sixty a second on each way are drawn, the others counted. */
function hearMessage(member, message) {
  if (message.direction !== "sent") return;
  const way = wayOf(message);
  if (way.drawn >= MOST_DRAWN) return void (way.count += 1);
  way.drawn += 1;
  const link = latest(member.id).state?.peers.find((peer) => peer.id === message.to);
  message.is_lost = Boolean(link?.blocked) || !isAwake(latest(message.to));
  message.flight_ms = FLIGHT_MS + Math.min(link?.delay_ms ?? 0, MOST_DELAY_MS);
  message.node = message.from;
  keep("messages", message, MOST_MESSAGES);
  if (isLive()) redraw("dots");
}

function hearMessages(_member, message) {
  if (message.direction === "sent") wayOf(message).count += message.count;
}

function surplusOf(key, node, group) {
  if (!surplus.has(key)) surplus.set(key, { node, group, count: 0, rate: 0, drawn: 0 });
  return surplus.get(key);
}

const wayOf = ({ from, to }) => surplusOf(`${from}-${to}`, from, "messages");

/** Once a second: what was counted becomes a rate. */
function countSurplus() {
  for (const more of surplus.values()) {
    if (more.rate !== more.count) redraw("ring", "timeline");
    Object.assign(more, { rate: more.count, count: 0, drawn: 0 });
  }
}

const nameOf = ({ index, term }) => `${index}@${term}`;

/** The term of the entry at an index of a node's log; null where that is not told any more. */
function termAt(state, index) {
  const begin = state.log_terms.findLast((begin) => begin.index <= index);
  return begin ? begin.term : null;
}

// ------------------------------------------------------------------------------------ Moment

/** The moment that is shown; null means now. */
let moment = null;
const isLive = () => moment === null;
const shownTime = () => moment ?? Date.now();

/** Who led, for the strip over the slider: {from, to, term}, oldest first; term null: nobody. */
const reigns = [];
const began_at = Date.now();

/** The last item of a list, oldest first, that is not younger than a time. */
function lastBefore(list, time) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].at <= time) low = middle + 1;
    else high = middle;
  }
  return list[low - 1];
}

/** How all nodes were at a time, or are now (null): by number {id, at, up, state}. */
function look(time) {
  const view = new Map();
  for (const [id, past] of history) {
    const item = time === null ? past.at(-1) : lastBefore(past, time);
    view.set(id, { id, ...(item ?? UNHEARD) });
  }
  return view;
}

const isAwake = (node) => node.up && !node.state.paused;

/** Who leads: of those who believe it, the one of the newest term. The others are deposed. */
function leaderOf(view) {
  const leaders = [...view.values()].filter((n) => isAwake(n) && n.state.role === "leader");
  return leaders.sort((a, b) => b.state.current_term - a.state.current_term)[0] ?? null;
}

/** How the link from one node to another is: ok, cut, lossy or slow, and the numbers. */
function linkBetween(view, from, to) {
  const peer = view.get(from).state?.peers.find((peer) => peer.id === to);
  const { blocked = false, drop = 0, delay_ms = 0 } = peer ?? {};
  const state = blocked ? "cut" : drop ? "lossy" : delay_ms ? "slow" : "ok";
  return { state, drop, delay_ms };
}

const canTalk = (view, a, b) =>
  a === b || [[a, b], [b, a]].every(([from, to]) => linkBetween(view, from, to).state !== "cut");

function showMoment(time) {
  moment = time;
  set(document.body, "data-live", isLive());
  set(byId("live"), "aria-pressed", isLive());
  redraw("clock", "headline", "ring", "dots", "logs", "timeline", "figures");
}

/** The slider counts from now, so a moment that stands still moves back on it. */
function drawClock() {
  const slider = byId("when");
  const now = Date.now();
  const seconds = Math.ceil((now - began_at) / 1000);
  set(slider, "min", -Math.min(KEPT_MS / 1000, Math.max(10, seconds)));
  if (isLive()) {
    slider.value = 0;
    setText(byId("moment"), `Live, ${timeOfDay(now)}`);
  } else {
    if (!slider.matches(":active")) slider.value = Math.round((moment - now) / 1000);
    setText(byId("moment"), `Showing ${timeOfDay(moment)}, ${duration(now - moment)} ago`);
  }
  set(slider, "aria-valuetext", byId("moment").textContent);
  drawReigns(now);
}

/** Once a second: who leads now. */
function watchReign() {
  const now = Date.now();
  const leader = leaderOf(look(null));
  const term = leader ? leader.state.current_term : null;
  const last = reigns.at(-1);
  if (last && last.term === term) last.to = now;
  else reigns.push({ from: last ? last.to : now - 1000, to: now, term });
  while (reigns[0].to < now - KEPT_MS) reigns.shift();
}

function drawReigns(now) {
  const strip = byId("reigns");
  const length_ms = -Number(byId("when").min) * 1000;
  setAll(strip, { viewBox: `0 0 ${length_ms} 1`, preserveAspectRatio: "none" });
  const led = reigns.filter((reign) => reign.term !== null && reign.to > now - length_ms);
  const bars = [...strip.querySelectorAll("rect")];
  led.forEach(({ from, to, term }, number) => {
    const bar = bars[number] ?? draw(strip, "rect", { y: 0, height: 1 });
    const x = Math.max(0, from - now + length_ms);
    setAll(bar, { x, width: Math.max(0, to - now + length_ms - x), "data-hue": hue(term) });
  });
  bars.slice(led.length).forEach((bar) => bar.remove());
}

// ----------------------------------------------------------------------------------- Drawing

/**
 * What can be drawn anew, and how long to rest before it is drawn again: under a load of thousands
 * of commits a second, nobody can read more.
 */
const panels = {
  headline: { draw: drawHeadline, rest_ms: 100 },
  clock: { draw: drawClock, rest_ms: 0 },
  ring: { draw: drawRing, rest_ms: 50 },
  timers: { draw: drawTimers, rest_ms: 50 },
  dots: { draw: drawDots, rest_ms: 0 },
  logs: { draw: drawLogs, rest_ms: 120 },
  timeline: { draw: drawTimeline, rest_ms: 250 },
  store: { draw: drawStore, rest_ms: 250 },
  figures: { draw: drawFigures, rest_ms: 250 },
  menu: { draw: drawMenu, rest_ms: 100 },
};
for (const panel of Object.values(panels)) Object.assign(panel, { is_due: false, drawn_at: 0 });
let frame_is_asked_for = false;
let nap; // until the first panel has rested

/** Has these panels drawn with one of the next frames. A hidden tab gets no frames, and no work. */
function redraw(...which) {
  for (const panel of which) panels[panel].is_due = true;
  planFrame();
}

/** Asks for the next frame, or sleeps while every panel that is due still rests. */
function planFrame() {
  const due = Object.values(panels).filter((panel) => panel.is_due);
  if (frame_is_asked_for || !due.length) return;
  const rested_at = Math.min(...due.map((panel) => panel.drawn_at + panel.rest_ms));
  const wait_ms = rested_at - performance.now();
  clearTimeout(nap);
  if (wait_ms > 0) {
    nap = setTimeout(planFrame, wait_ms);
  } else {
    frame_is_asked_for = true;
    requestAnimationFrame(drawFrame);
  }
}

function drawFrame() {
  frame_is_asked_for = false;
  const view = look(moment);
  const now = performance.now();
  for (const panel of Object.values(panels)) {
    if (panel.is_due && now - panel.drawn_at >= panel.rest_ms) {
      panel.is_due = false;
      panel.drawn_at = now;
      panel.draw(view);
    }
  }
  planFrame();
}

/** Neighbouring terms get hues that are far apart; after six they come again. */
const hue = (term) => term % 6;

function drawHeadline(view) {
  const leader = leaderOf(view);
  const rivals = [...view.values()].filter((n) => isAwake(n) && n.state.role === "candidate");
  let text = "No leader";
  if (leader) text = `${name(leader.id)} leads term ${leader.state.current_term}`;
  else if (rivals.length) {
    const term = Math.max(...rivals.map((node) => node.state.current_term));
    text = `No leader: ${names(rivals.map((node) => node.id))} asked for votes in term ${term}`;
  }
  setText(byId("leader"), text);
  setText(document.querySelector("title"), `${text} – raftlet`);
  const committed = Math.max(0, ...[...view.values()].map((node) => node.state?.commit_index ?? 0));
  setText(byId("committed"), `committed up to index ${committed.toLocaleString("en")}`);
  drawBanner(view);
}

/** Without a majority that can talk, nobody can be elected and nothing committed: says why. */
function drawBanner(view) {
  const nodes = [...view.values()];
  const reach = (node) =>
    isAwake(node)
      ? nodes.filter((other) => isAwake(other) && canTalk(view, node.id, other.id))
      : [];
  const most = nodes.map(reach).reduce((a, b) => (b.length > a.length ? b : a), []);
  // When the page opens, give all feeds the time to come.
  const is_early = Date.now() - began_at < 1500 && nodes.some((node) => !node.state);
  const is_well = most.length >= majority() || is_early;
  byId("banner").hidden = is_well;
  if (is_well) return;
  const cut = nodes.filter((node) => isAwake(node) && !most.includes(node));
  const reasons = [
    [nodes.filter((node) => !node.up), "down"],
    [nodes.filter((node) => node.up && node.state.paused), "paused"],
    [cut, "cut off"],
  ].filter(([group]) => group.length);
  const why = reasons.map(([group, how]) => `${names(group.map((node) => node.id))} ${how}`);
  const leader = leaderOf(view);
  const old = leader ? ` ${name(leader.id)} still leads, but can commit nothing.` : "";
  const few = most.length ? `only ${most.length} of ${nodes.length} nodes` : "no node";
  setText(
    byId("banner"),
    `No leader can be elected: ${few} can talk, and ${majority()} are needed, ` +
      `to elect and to commit (§5.2). ${why.join(", ")}.${old}`,
  );
}

// -------------------------------------------------------------------------------------- Ring

const FLIGHT_MS = 400; // how long a message flies, to be seen: the true time is too short
const MOST_DELAY_MS = 3000;
const MOST_DRAWN = 60; // messages in a second on each way

/** What flies: a shape drawn around 0,0 and whose colour it has. A refusal is drawn hollow. */
const SHAPES = {
  "RequestVote": { path: "M0-7 7 6H-7Z", colour: "--candidate" },
  "RequestVote reply": { path: "M0-7 6 0 0 7-6 0Z", colour: "--candidate" },
  "heartbeat": { path: "M0 6C-10-1-5-8 0-3 5-8 10-1 0 6Z", colour: "--leader" },
  "AppendEntries": { path: "M-5-5H5V5H-5Z", colour: "--leader" },
  "AppendEntries reply": { path: "M-5 0A5 5 0 0 0 5 0 5 5 0 0 0-5 0Z", colour: "--follower" },
  "InstallSnapshot": { path: "M-7-2H-3V-7H3V-2H7V6H-7Z", colour: "--leader" },
  "InstallSnapshot reply": { path: "M-5 0A5 5 0 0 0 5 0 5 5 0 0 0-5 0Z", colour: "--follower" },
};
const LEGEND = [
  ["RequestVote", "asks for a vote"],
  ["RequestVote reply", "vote"],
  ["heartbeat", "heartbeat"],
  ["AppendEntries", "entries"],
  ["InstallSnapshot", "snapshot"],
  ["AppendEntries reply", "answer"],
];
const CROWN = "M-13 0-16-14-7-7 0-17 7-7 16-14 13 0Z";
const CIRCLE = "M-1 0A1 1 0 0 0 1 0 1 1 0 0 0-1 0Z";
const HEXAGON = "M-1.08 0-.54-.94H.54L1.08 0 .54.94H-.54Z";

const HIT = 10; // pixels to each side of a link where a click still means it

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Everything of the ring: the parts of each node and link, and where they are. */
const ring = { nodes: new Map(), links: [], radius: 40, width: 0, longest_ms: 1 };

function buildRing() {
  const svg = byId("ring-svg");
  const layers = ["links", "labels", "nodes"].map((layer) => draw(svg, "g", { class: layer }));
  setAll(layers[1], { "aria-hidden": true });
  for (const a of ids()) {
    for (const b of ids().filter((b) => b > a)) ring.links.push(buildLink(layers, a, b));
  }
  for (const id of ids()) ring.nodes.set(id, buildNode(layers[2], id));
  placeRing();
  new ResizeObserver(placeRing).observe(byId("ring"));
  buildLegend();
}

function buildNode(layer, id) {
  const button = { id: `node-${id}`, class: "node", role: "button", tabindex: 0 };
  const group = draw(layer, "g", { ...button, "aria-haspopup": "menu" });
  const part = (tag, attributes) => draw(group, tag, attributes);
  const parts = { id, group, hit: part("rect", { class: "hit" }) };
  parts.timer = part("circle", { class: "timer", pathLength: 1, transform: "rotate(-90)" });
  parts.shape = part("path", { class: "shape" });
  parts.crown = part("path", { class: "crown", d: CROWN });
  parts.name = part("text", { class: "name", y: -5 });
  parts.name.textContent = name(id);
  parts.pill = part("rect", { class: "pill", y: 3, height: 19, rx: 9.5 });
  parts.term = part("text", { class: "term", y: 17 });
  parts.role = part("text", { class: "role" });
  parts.pause = part("path", { class: "pause", d: "M-5-7V7M5-7V7" });
  group.addEventListener("click", () => openMenu(group, nodeMenu(id)));
  group.addEventListener("keydown", (key) => openByKey(key, group, nodeMenu(id)));
  return parts;
}

function buildLink([links, labels], a, b) {
  const button = { id: `link-${a}-${b}`, class: "link", role: "button", tabindex: 0 };
  const group = draw(links, "g", { ...button, "aria-haspopup": "menu" });
  const way = (direction) => ({
    line: draw(group, "path", { class: `line ${direction}` }),
    head: draw(group, "path", { class: `head ${direction}` }),
    cross: draw(group, "path", { class: `cross ${direction}`, d: "M-6-6 6 6M-6 6 6-6" }),
  });
  const parts = { a, b, group, hit: draw(group, "path", { class: "hit" }) };
  parts.forward = way("forward");
  parts.backward = way("backward");
  Object.assign(parts, { label: draw(labels, "text", { class: "link-label" }), label_width: 0 });
  group.addEventListener("click", (event) => openMenu(group, linkMenu(a, b), event));
  group.addEventListener("keydown", (key) => openByKey(key, group, linkMenu(a, b)));
  return parts;
}

function buildLegend() {
  for (const [kind, text] of LEGEND) {
    const item = make("li");
    const svg = draw(item, "svg", { viewBox: "-9 -9 18 18", "aria-hidden": true });
    draw(svg, "path", { d: SHAPES[kind].path, class: "dot" }).style.color =
      `var(${SHAPES[kind].colour})`;
    item.append(text);
    byId("legend").append(item);
  }
  byId("legend").append(make("li", {}, "hollow: refused"), make("li", {}, "×: lost"));
}

/** Where everything is: nodes on a circle, as large as the space allows. */
function placeRing() {
  const { width, height } = byId("ring").getBoundingClientRect();
  const count = members.size;
  const is_small = Math.min(width, height) < 420 || count > 6;
  ring.radius = is_small ? 35 : 42;
  ring.width = width;
  const room = { side: ring.radius + 14, top: ring.radius + 24, bottom: ring.radius + 34 };
  const start = count === 2 ? Math.PI : -Math.PI / 2;
  const angles = ids().map((_, number) => start + (2 * Math.PI * number) / count);
  const [xs, ys] = [angles.map(Math.cos), angles.map(Math.sin)];
  const extent = (list) => Math.max(0.01, Math.max(...list) - Math.min(...list));
  const reach = Math.min(
    (width - 2 * room.side) / extent(xs),
    (height - room.top - room.bottom) / extent(ys),
    width / 2,
  );
  const top = (height + room.top - room.bottom - reach * (Math.max(...ys) + Math.min(...ys))) / 2;
  [...ring.nodes.values()].forEach((parts, number) => {
    parts.x = width / 2 + (count === 1 ? 0 : reach * xs[number]);
    parts.y = count === 1 ? height / 2 : top + reach * ys[number];
    set(parts.group, "transform", `translate(${parts.x} ${parts.y})`);
  });
  setAll(byId("ring-svg"), { "viewBox": `0 0 ${width} ${height}`, "data-small": is_small });
  const canvas = byId("dots");
  [canvas.width, canvas.height] = [width * devicePixelRatio, height * devicePixelRatio];
  redraw("ring", "dots");
}

function drawRing(view) {
  const leader = leaderOf(view);
  for (const node of view.values()) drawNode(ring.nodes.get(node.id), node, leader);
  for (const parts of ring.links) drawLink(parts, view);
  drawTimers(view);
}

const stateName = (node) => (!node.up ? "unreachable" : node.state.paused ? "paused" : "up");

/** What a node is, in a word. One that leads an older term than another has not heard of it yet. */
function describe(node, leader) {
  if (!isAwake(node)) return stateName(node);
  return node.state.role === "leader" && node.id !== leader?.id ? "old leader" : node.state.role;
}

function drawNode(parts, node, leader) {
  const { group } = parts;
  const { role = "follower", current_term = 0 } = node.state ?? {};
  const shown = describe(node, leader);
  setAll(group, { "data-role": role, "data-state": stateName(node), "data-term": current_term });
  set(group, "data-deposed", shown === "old leader");
  set(group, "aria-label", `${name(node.id)}, ${shown}, term ${current_term}`);
  const r = ring.radius;
  set(parts.shape, "d", role === "candidate" ? HEXAGON : CIRCLE);
  set(parts.shape, "transform", `scale(${r})`);
  setAll(parts.hit, { x: -r - 8, y: -r - 8, width: 2 * r + 16, height: 2 * r + 38 });
  set(parts.timer, "r", r + 7);
  set(parts.crown, "transform", `translate(0 ${-r - 4})`);
  set(parts.pause, "transform", `translate(${r * 0.78} ${-r * 0.78})`);
  setText(parts.term, `term ${current_term}`);
  const width = r * 1.6;
  setAll(parts.pill, { x: -width / 2, width, "data-hue": hue(current_term) });
  set(parts.role, "y", r + 25);
  setText(parts.role, shown);
}

/** The countdown arcs. The whole circle is the longest election timeout seen so far. */
function drawTimers(view) {
  let runs = false;
  for (const node of view.values()) {
    const { timer } = ring.nodes.get(node.id);
    const told_ms = isAwake(node) ? node.state.election_timeout_ms : null;
    ring.longest_ms = Math.max(ring.longest_ms, told_ms ?? 0);
    const left_ms = told_ms === null ? 0 : Math.max(0, told_ms - (shownTime() - node.at));
    runs ||= left_ms > 0;
    set(timer, "stroke-dasharray", `${(left_ms / ring.longest_ms).toFixed(3)} 2`);
  }
  panels.timers.rest_ms = calm.matches ? 500 : 50;
  if (runs && isLive()) panels.timers.is_due = true;
}

/** A point between two nodes: `along` from 0 to 1, and to the side in pixels. */
function between(from, to, along, side = 0) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  const margin = ring.radius + 10;
  const distance = margin + along * (length - 2 * margin);
  return {
    x: from.x + (dx * distance - dy * side) / length,
    y: from.y + (dy * distance + dx * side) / length,
  };
}

/** One line while both directions are alike; else two, each with its arrowhead. */
function drawLink(parts, view) {
  const { a, b, group } = parts;
  const [forward, backward] = [linkBetween(view, a, b), linkBetween(view, b, a)];
  const is_alike = forward.state === backward.state;
  setAll(group, { "data-forward": forward.state, "data-backward": backward.state });
  set(group, "data-alike", is_alike);
  set(group, "data-far", !view.get(a).up || !view.get(b).up);
  const told = is_alike
    ? `between ${name(a)} and ${name(b)}: ${forward.state}`
    : `${name(a)} to ${name(b)}: ${forward.state}, back: ${backward.state}`;
  set(group, "aria-label", `Link ${told}`);
  const [from, to] = [ring.nodes.get(a), ring.nodes.get(b)];
  const side = is_alike ? 0 : 5;
  drawWay(parts.forward, from, to, side, forward.state);
  drawWay(parts.backward, to, from, side, backward.state);
  const corners = [[0, -HIT], [1, -HIT], [1, HIT], [0, HIT]];
  set(parts.hit, "d", outline(corners.map(([along, aside]) => between(from, to, along, aside))));
  drawLinkLabel(parts, forward, backward, from, to);
}

const outline = (points) => `M${points.map(({ x, y }) => `${x} ${y}`).join("L")}`;

function drawWay(way, from, to, side, state) {
  const at = (along) => between(from, to, along, side);
  const [start, middle, end] = [at(0), at(0.5), at(1)];
  const angle = (Math.atan2(to.y - from.y, to.x - from.x) * 180) / Math.PI;
  const broken = outline([start, at(0.42)]) + outline([at(0.58), end]);
  set(way.line, "d", state === "cut" ? broken : outline([start, end]));
  set(way.head, "d", "M-11-5 0 0-11 5");
  set(way.head, "transform", `translate(${end.x} ${end.y}) rotate(${angle})`);
  set(way.cross, "transform", `translate(${middle.x} ${middle.y})`);
}

function drawLinkLabel(parts, forward, backward, from, to) {
  const { a, b, label } = parts;
  const drop = Math.max(forward.drop, backward.drop);
  const delay_ms = Math.max(forward.delay_ms, backward.delay_ms);
  const rate = isLive() ? wayOf({ from: a, to: b }).rate + wayOf({ from: b, to: a }).rate : 0;
  const words = [];
  if (drop) words.push(`loses ${drop} %`);
  if (delay_ms) words.push(`${delay_ms} ms late`);
  if (rate) words.push(`+${rate.toLocaleString("en")} more/s`);
  const text = words.join(", ");
  if (label.textContent !== text) {
    label.textContent = text;
    parts.label_width = label.getComputedTextLength();
  }
  const { x, y } = between(from, to, 0.5, -13);
  const aside = x - (from.x + to.x) / 2;
  const left = x - parts.label_width * (aside > 6 ? 0 : aside < -6 ? 1 : 0.5);
  // Beside the link, but within the ring.
  set(label, "x", Math.max(0, Math.min(left, ring.width - parts.label_width)));
  set(label, "y", y + 4);
}

/** The messages in flight at the moment that is shown. */
function drawDots() {
  const canvas = byId("dots");
  const pen = canvas.getContext("2d");
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const time = shownTime();
  const sent = happenings.get("messages");
  let flying = 0;
  for (let number = sent.length - 1; number >= 0; number -= 1) {
    const message = sent[number];
    if (message.at < time - FLIGHT_MS - MOST_DELAY_MS) break;
    const progress = (time - message.at) / message.flight_ms;
    if (progress < 0 || progress > 1) continue;
    flying += 1;
    drawDot(pen, message, progress);
  }
  panels.dots.rest_ms = calm.matches ? FLIGHT_MS : 0;
  if (flying > 0 && isLive()) panels.dots.is_due = true;
}

/** One message. If it is lost, it gets half-way and dies there with a cross. */
function drawDot(pen, message, progress) {
  const [from, to] = [ring.nodes.get(message.from), ring.nodes.get(message.to)];
  const shape = SHAPES[message.kind];
  if (!from || !to || !shape) return;
  const is_dead = message.is_lost && progress > 0.5;
  const along = calm.matches ? 0.7 : message.is_lost ? Math.min(progress, 0.5) : progress;
  const { x, y } = between(from, to, along, 5);
  const scale = devicePixelRatio;
  pen.setTransform(scale, 0, 0, scale, x * scale, y * scale);
  pen.lineWidth = 2;
  pen.strokeStyle = colour(is_dead ? "--bad" : shape.colour);
  pen.fillStyle = /: no\b/.test(message.text) ? colour("--paper") : pen.strokeStyle;
  const path = pathOf(is_dead ? "M-5-5 5 5M-5 5 5-5" : shape.path);
  if (!is_dead) pen.fill(path);
  pen.stroke(path);
}

const paths = new Map();
function pathOf(text) {
  if (!paths.has(text)) paths.set(text, new Path2D(text));
  return paths.get(text);
}

/** The page's colours, for the canvas; forgotten when light turns to dark. */
const colours = new Map();
function colour(property) {
  if (!colours.has(property)) {
    // Only a used value is a colour that a canvas understands: light-dark() is not.
    byId("dots").style.color = `var(${property})`;
    colours.set(property, getComputedStyle(byId("dots")).color);
  }
  return colours.get(property);
}

// -------------------------------------------------------------------------------------- Logs

const CELL = 66; // pixels from one column to the next
const WIDEST = 8_000_000; // pixels: browsers refuse to scroll what is much wider
const FETCH_REST_MS = 300;

/** Rows by node. `follows` means that the end of the logs is kept in sight. */
const logs = { rows: new Map(), axis: null, follows: true, placed_at: 0, width: 0, fetching: 0 };

function buildLogs() {
  const view = byId("logs-view");
  view.style.setProperty("--cell", `${CELL}px`);
  logs.axis = { lane: make("div", { class: "axis", "aria-hidden": true }), cells: [] };
  view.append(logs.axis.lane);
  for (const id of ids()) {
    const row = make("div", { "data-log": id, role: "group" });
    const label = make("div", { class: "label" });
    const role = make("span");
    label.append(make("b", {}, name(id)), role);
    const lane = make("div", { class: "lane" });
    const next = make("i", { class: "mark next", "data-next": id, title: "next_index" }, "▸");
    const match = make("i", { class: "mark match", "data-match": id, title: "match_index" }, "•");
    lane.append(next, match);
    row.append(label, lane);
    view.append(row);
    logs.rows.set(id, { row, role, lane, next, match, cells: [], asked_at: 0 });
  }
  byId("logs").addEventListener("scroll", scrollLogs);
  byId("logs-end").addEventListener("click", followLogs);
  new ResizeObserver(() => redraw("logs")).observe(byId("logs"));
}

function scrollLogs() {
  const box = byId("logs");
  // That we or a new size of the window have moved it is not the reader's doing.
  if (Math.abs(box.scrollLeft - logs.placed_at) < 1 || box.clientWidth !== logs.width) return;
  logs.follows = box.scrollLeft + box.clientWidth >= box.scrollWidth - 2;
  panels.logs.drawn_at = 0; // a hand on the scrollbar is not kept waiting
  redraw("logs");
}

function followLogs() {
  logs.follows = true;
  redraw("logs");
}

function drawLogs(view) {
  const leader = leaderOf(view);
  const states = [...view.values()].map((node) => node.state).filter(Boolean);
  const highest = Math.max(0, ...states.map((state) => state.last_log_index));
  const window = scrollWindow(highest + 1, commonIndex(states));
  drawAxis(window);
  const missing = [];
  for (const node of view.values()) {
    const holder = logs.rows.get(node.id);
    const shown = describe(node, leader);
    setText(holder.role, shown);
    set(holder.row, "data-shown", shown);
    drawLog(holder, node, window, missing);
    drawProgress(holder, node, leader, window);
  }
  byId("logs-end").hidden = logs.follows;
  fetchCommands(missing);
}

/**
 * Up to which index a majority says it has committed. Nodes are not heard at the same instant, so
 * under load the one heard last seems far ahead of all others.
 */
function commonIndex(states) {
  const indexes = states.map((state) => state.commit_index).sort((a, b) => b - a);
  return indexes[majority() - 1] ?? indexes.at(-1) ?? 0;
}

/**
 * Which columns are in sight: the first, as a fraction, and how many. Who follows sees the end; or
 * where commit_index is, if the end is far ahead of it. A log of millions of entries is wider than
 * a browser can scroll: then a pixel of the scrollbar is worth more than one.
 */
function scrollWindow(count, commit_index) {
  const box = byId("logs");
  const label_width = box.clientWidth < 500 ? 78 : 92;
  const width = box.clientWidth - label_width;
  const full = Math.max(width, count * CELL);
  const shown = Math.min(full, WIDEST);
  byId("logs-spacer").style.width = `${shown + label_width}px`;
  byId("logs-view").style.setProperty("--label-width", `${label_width}px`);
  const scale = (full - width) / Math.max(1, shown - width);
  const end = Math.min(full, Math.max(width, commit_index * CELL + width / 2));
  if (logs.follows) box.scrollLeft = (end - width) / scale;
  [logs.placed_at, logs.width] = [box.scrollLeft, box.clientWidth];
  const offset = logs.follows ? end - width : Math.min(box.scrollLeft * scale, full - width);
  return { first: offset / CELL, columns: Math.ceil(width / CELL) + 1, count };
}

/** The cells of a lane, one a column in sight; each is used again for whatever comes there. */
function cellsOf(holder, columns) {
  while (holder.cells.length < columns) {
    const cell = make("div", { class: "cell" });
    cell.append(make("b"), make("span"));
    holder.cells.push(cell);
    holder.lane.append(cell);
  }
  while (holder.cells.length > columns) holder.cells.pop().remove();
  return holder.cells;
}

const indexAt = (window, column) => Math.floor(window.first) + column + 1;
const leftOf = (window, index) => `translateX(${((index - 1 - window.first) * CELL).toFixed(1)}px)`;

function moveTo(element, place) {
  if (element.style.transform !== place) element.style.transform = place;
}

function drawAxis(window) {
  cellsOf(logs.axis, window.columns).forEach((cell, column) => {
    const index = indexAt(window, column);
    setText(cell.firstChild, index > window.count ? "" : index);
    moveTo(cell, leftOf(window, index));
  });
}

function drawLog(holder, node, window, missing) {
  const state = node.state;
  const told = state
    ? `last entry ${state.last_log_index}@${state.last_log_term}, ` +
      `commit_index ${state.commit_index}, last_applied ${state.last_applied}`
    : "unknown";
  set(holder.row, "aria-label", `Log of ${name(node.id)}: ${told}`);
  set(holder.lane, "data-ends", state ? endBefore(state, indexAt(window, 0)) : "");
  const lacking = [];
  cellsOf(holder, window.columns).forEach((cell, column) => {
    const index = indexAt(window, column);
    const is_there = state !== null && index <= state.last_log_index;
    if (cell.hidden === is_there) cell.hidden = !is_there;
    if (!is_there) return void cell.removeAttribute("data-entry");
    moveTo(cell, leftOf(window, index));
    drawCell(cell, node, index);
    const entry = { index, term: termAt(state, index) };
    if (!node.commands.has(nameOf(entry)) && isInLog(node, entry)) lacking.push(index);
  });
  if (lacking.length) missing.push({ id: node.id, lacking, of_log: node.commands });
}

/** Where a log ends, if that is left of all columns in sight. */
function endBefore({ last_log_index, last_log_term }, first) {
  if (last_log_index >= first) return "";
  return last_log_index ? `← ends at ${last_log_index}@${last_log_term}` : "empty";
}

/** Whether a node can be asked for an entry now: one of the past may be in no log any more. */
function isInLog({ id, commands }, { index, term }) {
  const { up, state, commands: now } = latest(id);
  if (!up || commands !== now) return false;
  if (index <= state.snapshot_index || index > state.last_log_index) return false;
  return term !== null && termAt(state, index) === term;
}

function drawCell(cell, { state, commands }, index) {
  const term = termAt(state, index);
  const is_in_snapshot = index <= state.snapshot_index;
  const entry = `${index}@${term ?? "?"}`;
  const command = is_in_snapshot ? "snapshot" : commands.get(entry);
  setAll(cell, {
    "data-entry": entry,
    "data-committed": index <= state.commit_index,
    "data-applied": index <= state.last_applied,
    "data-hue": term === null ? "none" : hue(term),
    "data-edge": index === state.commit_index,
    "data-snapshot": is_in_snapshot,
    "title": command === undefined ? entry : `${entry} ${command}`,
  });
  setText(cell.firstChild, term ?? "?");
  setText(cell.lastChild, command === undefined ? "" : shorten(command));
}

/** A verb, a key, and the rest of the line. What has spaces stands in double quotes. */
const COMMAND = /^(set|delete|incr|cas) +("(?:[^"\\]|\\.)*"|[^\s="]+)[ =]*(.*)$/s;

/** As the paper's Figure 6 writes commands: x←3. */
function shorten(command) {
  const [, verb, key, value] = command.match(COMMAND) ?? [];
  if (verb === "set") return `${apart(key)}←${apart(value)}`;
  if (verb === "delete") return `${apart(key)}←∅`;
  if (verb === "incr") return `${apart(key)}${value.startsWith("-") ? "" : "+"}${value || 1}`;
  return verb === "cas" ? `${apart(key)}⇄${apart(value)}` : command;
}

/** A text that may run from right to left, and leaves the order of what is around it alone. */
const apart = (text) => `\u2068${text}\u2069`;

/** What the leader knows of this follower's log. */
function drawProgress(holder, node, leader, window) {
  const peer = leader?.state.peers.find((peer) => peer.id === node.id);
  for (const [mark, index] of [
    [holder.next, peer?.next_index],
    [holder.match, peer?.match_index],
  ]) {
    mark.hidden = index === undefined;
    if (mark.hidden) continue;
    set(mark, "data-index", index);
    moveTo(mark, leftOf(window, index));
  }
}

/** Asks for the commands in sight that nobody has told yet: seldom, and of one node at a time. */
async function fetchCommands(missing) {
  const now = Date.now();
  const rested = missing.filter(({ id }) => now - logs.rows.get(id).asked_at > FETCH_REST_MS);
  if (missing.length) setTimeout(() => redraw("logs"), FETCH_REST_MS);
  if (!rested.length || logs.fetching >= 2) return;
  const { id, lacking, of_log } = rested[0];
  logs.rows.get(id).asked_at = now;
  logs.fetching += 1;
  const limit = Math.min(1000, lacking.at(-1) - lacking[0] + 1);
  const path = `/log?from=${lacking[0]}&limit=${limit}`;
  const { json } = await ask(members.get(id).address, "GET", path);
  logs.fetching -= 1;
  for (const entry of json.log ?? []) remember(entry, of_log);
  redraw("logs");
}

// ---------------------------------------------------------------------------------- Timeline

const SHOWN_EVENTS = 100;
const OFF_AT_FIRST = ["heartbeats", "messages"];

/** Items in the list by their number; and while it is held, what had happened by then. */
const timeline = { items: new Map(), held: null, is_touched: false };

function buildTimeline() {
  const box = (name, value, text, checked) => {
    const label = make("label");
    const input = make("input", { type: "checkbox", name, value });
    input.checked = checked;
    label.append(input, text);
    return label;
  };
  byId("filter-nodes").append(...ids().map((id) => box("node", id, name(id), true)));
  byId("filter-kinds").append(
    ...GROUPS.map((group) => box("kind", group, group, !OFF_AT_FIRST.includes(group))),
  );
  byId("filters").addEventListener("change", () => redraw("timeline"));
  byId("timeline-pause").addEventListener("click", holdTimeline);
  // A list that moves between a finger's down and up would swallow the click.
  const list = byId("timeline");
  list.addEventListener("pointerdown", () => (timeline.is_touched = true));
  addEventListener("pointerup", () => {
    timeline.is_touched = false;
    redraw("timeline");
  });
}

function holdTimeline() {
  const copy = () => new Map([...happenings].map(([group, list]) => [group, [...list]]));
  timeline.held = timeline.held ? null : copy();
  set(byId("timeline-pause"), "aria-pressed", timeline.held !== null);
  redraw("timeline");
}

const ticked = (field) =>
  [...byId("filters").querySelectorAll(`[name="${field}"]:checked`)].map((box) => box.value);

function drawTimeline() {
  if (timeline.is_touched) return;
  const nodes = new Set(ticked("node").map(Number));
  const groups = ticked("kind");
  const wanted = newest(nodes, groups);
  const numbers = new Set(wanted.map((item) => item.number));
  for (const [number, element] of timeline.items) {
    if (!numbers.has(number)) removeItem(number, element);
  }
  let place = byId("timeline").firstChild;
  for (const item of wanted) {
    const element = timeline.items.get(item.number) ?? buildItem(item);
    if (element === place) place = place.nextSibling;
    else byId("timeline").insertBefore(element, place);
  }
  drawOmissions(nodes, groups, wanted.length);
}

function removeItem(number, element) {
  const list = byId("timeline");
  if (element.contains(document.activeElement)) list.focus({ preventScroll: true });
  element.remove();
  timeline.items.delete(number);
}

/** The newest events up to the moment that is shown, newest first. */
function newest(nodes, groups) {
  const until = shownTime();
  const found = [];
  for (const group of groups) {
    const list = (timeline.held ?? happenings).get(group);
    let room = SHOWN_EVENTS;
    for (let number = list.length - 1; number >= 0 && room > 0; number -= 1) {
      if (list[number].at > until || !nodes.has(list[number].node)) continue;
      found.push(list[number]);
      room -= 1;
    }
  }
  return found.sort((a, b) => b.number - a.number).slice(0, SHOWN_EVENTS);
}

/** What the list does not show: what is too much for it, and what is too old. */
function drawOmissions(nodes, groups, shown) {
  let more = 0;
  for (const { node, group, rate } of surplus.values()) {
    if (nodes.has(node) && groups.includes(group)) more += rate;
  }
  const is_moving = isLive() && !timeline.held;
  setText(byId("timeline-more"), more && is_moving ? `+${more.toLocaleString("en")} more/s` : "");
  const gone = shown < SHOWN_EVENTS ? groups.filter((group) => forgotten.has(group)) : [];
  const end = gone.length ? `Older ones are forgotten: ${gone.join(", ")}.` : "";
  set(byId("timeline"), "data-end", end);
}

function buildItem(item) {
  const element = make("li", { "data-node": item.node, "data-kind": item.kind });
  const button = make("button", { type: "button", tabindex: -1 });
  const time = timeOfDay(item.time_ms);
  const who = item.to ? `${name(item.from)} → ${name(item.to)}` : name(item.node);
  button.append(
    make("time", {}, `${time}.${String(item.time_ms % 1000).padStart(3, "0")}`),
    make("b", {}, who),
    make("cite", {}, item.cites ?? ""),
    make("span", { "class": "pill", "data-hue": hue(item.term) }, `term ${item.term}`),
    make("span", { class: "text" }, item.text),
  );
  button.addEventListener("click", () => openRule(item.rule, item));
  element.append(button);
  timeline.items.set(item.number, element);
  return element;
}

// ------------------------------------------------------------------------------------- Rules

/** The boxes of Figures 2 and 13, and which places stand in them. */
const FIGURE_2 = [
  ["state", "State", /^State/],
  ["request-vote", "RequestVote RPC", /^RequestVote/],
  ["append-entries", "AppendEntries RPC", /^AppendEntries/],
  ["servers", "Rules for Servers", null],
  ["install-snapshot", "InstallSnapshot RPC (Figure 13)", /^InstallSnapshot/],
  ["text", "In the text, not in the figure", /^§|^dissertation/],
];
const SERVERS = [
  ["All Servers", /^All Servers/],
  ["Followers", /^Followers/],
  ["Candidates", /^Candidates/],
  ["Leaders", /^Leaders/],
];

let rules = [];
let learning = null;

/** Asks for the rules once; again if no node has answered. */
function learnRules() {
  learning ??= askForRules().finally(() => {
    if (!rules.length) learning = null;
  });
  return learning;
}

async function askForRules() {
  for (const member of members.values()) {
    const { json } = await ask(member.address, "GET", "/api/rules");
    if (json.rules) {
      rules = json.rules;
      return buildFigure2();
    }
  }
}

function buildFigure2() {
  for (const [place, title, pattern] of FIGURE_2) {
    const box = make("section", { class: place });
    box.append(make("h4", {}, title));
    const parts = pattern ? [["", pattern]] : SERVERS;
    for (const [part, of_part] of parts) {
      if (part) box.append(make("h5", {}, part));
      box.append(listOfRules(of_part));
    }
    byId("figure-2").append(box);
  }
}

function listOfRules(pattern) {
  const list = make("ul");
  for (const rule of rules.filter((rule) => pattern.test(rule.place || rule.section))) {
    const item = make("li");
    const button = make("button", { type: "button", "data-rule": rule.name });
    const number = rule.place ? (rule.place.match(/\d+$/) ?? [""])[0] : rule.section;
    button.append(make("i", {}, number), inWords(rule.name));
    button.addEventListener("click", () => showRule(rule.name));
    item.append(button);
    list.append(item);
  }
  return list;
}

/** UpToDateLog → up to date log. */
const inWords = (rule) => rule.replace(/(?!^)([A-Z])/g, " $1").toLowerCase();

/** Explains a rule, and the event in which it was at work. */
async function openRule(rule, item) {
  await learnRules();
  const text = item ? `${name(item.node)}, term ${item.term}: ${item.text}` : "";
  setText(byId("rule-event"), text);
  showRule(rule);
  byId("rule").showModal();
}

const NO_RULE = {
  name: "No rule is cited",
  sentence: "This is a message on its way, an entry that a client gave the leader, or something " +
    "from outside: a process, a network, a disk, or you.",
};

function showRule(wanted) {
  const { name, place, cites, sentence, property } =
    rules.find((rule) => rule.name === wanted) ?? NO_RULE;
  for (const button of byId("figure-2").querySelectorAll("[data-rule]")) {
    set(button, "aria-current", button.dataset.rule === wanted);
  }
  setText(byId("rule-name"), name);
  const figure = place?.startsWith("InstallSnapshot") ? "Figure 13" : "Figure 2";
  setText(byId("rule-cites"), place ? `${figure}, ${cites}` : (cites ?? ""));
  setText(byId("rule-sentence"), sentence);
  setText(byId("rule-property"), property ? `Without it, ${property} falls.` : "");
}

// ------------------------------------------------------------------------------------- Store

const STORE_REST_MS = 1000;
const SHOWN_KEYS = 200;

/** By node: its pairs, their keys in order, how far it had applied its log, when to ask again. */
const stores = new Map();

function buildStore() {
  for (const id of ids()) {
    byId("ask").append(make("option", { value: id }, name(id)));
    byId("store-node").append(make("option", { value: id }, name(id)));
    stores.set(id, { pairs: {}, keys: [], last_applied: -1, rested_at: 0, is_asked: false });
  }
  byId("store-node").addEventListener("change", () => redraw("store"));
  byId("operation").addEventListener("change", showFields);
  byId("store-form").addEventListener("submit", (submit) => {
    submit.preventDefault();
    send();
  });
  showFields();
}

function showFields() {
  const operation = byId("operation").value;
  byId("value").parentElement.hidden = !["set", "cas"].includes(operation);
  byId("old").parentElement.hidden = operation !== "cas";
}

/** The store is shown as it is now, also while ring and logs show the past. */
function drawStore() {
  const view = look(null);
  const chosen = Number(byId("store-node").value);
  const leader = leaderOf(view);
  for (const id of new Set([chosen, leader?.id])) if (view.get(id)?.up) fetchStore(view.get(id));
  const own = stores.get(chosen);
  const leaders = leader ? stores.get(leader.id) : null;
  drawPairs(byId("store"), own, leaders);
  drawPairs(byId("store-leader"), leaders, null);
}

async function fetchStore(node) {
  const store = stores.get(node.id);
  const is_new = store.last_applied !== node.state.last_applied;
  if (!is_new || store.is_asked || document.hidden) return;
  const asked_at = Date.now();
  const wait_ms = store.rested_at - asked_at;
  if (wait_ms > 0) return void setTimeout(() => redraw("store"), wait_ms);
  store.is_asked = true;
  const { status, json } = await ask(members.get(node.id).address, "GET", "/api/state_machine");
  store.is_asked = false;
  // A large store takes its time, at the node and here.
  store.rested_at = Date.now() + Math.max(STORE_REST_MS, 5 * (Date.now() - asked_at));
  if (status !== 200) return;
  const { state_machine: pairs, last_applied } = json;
  Object.assign(store, { pairs, keys: Object.keys(pairs).sort(), last_applied });
  redraw("store");
}

/** One store as a table; what differs from the leader's is marked. */
function drawPairs(table, store, leaders) {
  const applied = table.querySelector("caption > span");
  setText(applied, store && store.last_applied >= 0 ? `applied up to ${store.last_applied}` : "");
  const keys = store?.keys ?? [];
  const rows = table.tBodies[0].rows;
  keys.slice(0, SHOWN_KEYS).forEach((key, number) => {
    const row = rows[number] ?? buildPair(table.tBodies[0]);
    const differs = Boolean(leaders) && leaders.pairs[key] !== store.pairs[key];
    setAll(row, { "data-key": key, "data-differs": differs });
    set(row, "title", differs ? "not the leader's value" : "");
    setText(row.cells[0].firstChild, cut(key));
    setText(row.cells[1].firstChild, cut(store.pairs[key]));
  });
  while (rows.length > Math.min(keys.length, SHOWN_KEYS)) rows[rows.length - 1].remove();
  const more = keys.length - SHOWN_KEYS;
  set(table, "data-more", more > 0 ? `and ${more} more keys` : "");
}

function buildPair(body) {
  const row = make("tr");
  for (const cell of [make("td"), make("td")]) {
    cell.append(make("div"));
    row.append(cell);
  }
  body.append(row);
  return row;
}

/** What the form asks for, as method, path and body. */
function requestOfForm() {
  const [operation, key, value, old] =
    ["operation", "key", "value", "old"].map((field) => byId(field).value);
  const path = `/api/get/${encodeURIComponent(key)}`;
  switch (operation) {
    case "set": return ["POST", "/api/set", { key, value }];
    case "get": return ["GET", path];
    case "local-get": return ["GET", `${path}?local=true`];
    case "delete": return ["POST", "/api/delete", { key }];
    default: return ["POST", "/api/cas", { key, old, new: value }];
  }
}

/** Sends what the form says, on to the leader if a node says so, and shows every answer. */
async function send() {
  const view = look(null);
  const choice = byId("ask").value;
  const first = choice === "leader" ? (leaderOf(view)?.id ?? anyone(view)) : Number(choice);
  const request = requestOfForm();
  const operation = byId("operation").value;
  const reply = byId("reply");
  const key = byId("key").value;
  if (operation.endsWith("get") && [".", ".."].includes(key)) {
    const advice = `Read this key in a terminal: raftlet get ${key}`;
    return setText(reply, `A browser takes “${key}” out of a path. ${advice}`);
  }
  setText(reply, `Asking ${name(first)}…`);
  let answer = await ask(members.get(first).address, ...request);
  let [asked, told] = [first, ""];
  if (answer.status === 307) {
    asked = latest(first).state?.leader;
    if (!members.has(asked)) {
      return setText(reply, `${name(first)} answered 307: it does not lead. Ask again soon.`);
    }
    told = `${name(first)} answered 307: it does not lead, ${name(asked)} does. `;
    setText(reply, `${told}Asking ${name(asked)}…`);
    answer = await ask(members.get(asked).address, ...request);
  }
  setText(reply, `${told}${name(asked)} answered${inPlainWords(answer)}`);
  noticeReplyForTour(operation, asked, answer);
}

const anyone = (view) => ([...view.values()].find((node) => node.up) ?? { id: ids()[0] }).id;

/** What a node answered. */
function inPlainWords({ status, json }) {
  if (status === 0) return ` nothing: ${json.error}`;
  if (status === 307) return " 307: it does not lead any more. Ask again soon";
  if (json.error) return ` ${status}: ${json.error}`;
  const { key, value, found, swapped, index, term, last_applied } = json;
  const entry = index === undefined ? "" : `, by entry ${index}@${term}`;
  const now = value === null || value === undefined ? "is not set" : `= ${cut(String(value))}`;
  if (last_applied !== undefined) {
    return `: ${key} ${now}, from its own store, applied up to ${last_applied}; it may be old`;
  }
  const done = swapped ? "swapped" : "not swapped";
  if (swapped !== undefined) return `: ${done}, ${key} ${now}${entry}`;
  if (value === undefined) return `: ${key} ${found ? "deleted" : "was not set"}${entry}`;
  return `: ${key} ${now}${entry}`;
}

// ----------------------------------------------------------------------------------- Figures

const PLOT_MS = 2 * 60 * 1000;
const FIGURES = [
  ["term", "term", ""],
  ["commits", "commits", "/s"],
  ["latency", "commit latency", " ms"],
  ["elections", "elections so far", ""],
  ["writes", "writes", "/s"],
  ["reads", "reads", "/s"],
];

/** One a second: {at, figures, …}, oldest first; a figure is null where it is not known. */
const samples = [];

/** Sums over all nodes. A node's own counters begin at 0 with each start, these go on. */
const totals = { elections: 0, commands: 0, reads: 0, command_seconds: 0 };
const counted = new Map();

function buildFigures() {
  for (const [figure, title, unit] of FIGURES) {
    const box = make("figure", { id: `figure-${figure}` });
    const value = make("p");
    value.append(make("span", { class: "value" }, "–"), make("small", {}, unit));
    value.append(make("small", { class: "highest" }));
    box.append(make("figcaption", {}, title), value);
    const svg = draw(box, "svg", { viewBox: "0 0 120 30", preserveAspectRatio: "none" });
    setAll(svg, { "role": "img", "aria-label": `${title}, the last 2 minutes` });
    draw(svg, "path", { class: "plot" });
    byId("figures").append(box);
  }
}

function addUpCounters() {
  for (const id of ids()) {
    const counters = latest(id).state?.counters;
    if (!counters) continue;
    // What was before this page is no rate of now. "Elections so far" are all there were.
    const before = counted.get(id) ?? { ...counters, elections: 0 };
    const keys = Object.keys(totals);
    // A node that was started again counts from 0.
    const is_restarted = keys.some((key) => counters[key] < before[key]);
    for (const key of keys) totals[key] += counters[key] - (is_restarted ? 0 : before[key]);
    counted.set(id, counters);
  }
}

/** Once a second: what the figures are now, from what has grown since the last time. */
function takeSample() {
  addUpCounters();
  const states = ids().map(latest).filter(({ up }) => up).map(({ state }) => state);
  const highest = (key) => (states.length ? Math.max(...states.map((state) => state[key])) : null);
  const sample = { at: Date.now(), ...totals, commit_index: highest("commit_index") };
  const before = samples.at(-1) ?? sample;
  const seconds = (sample.at - before.at) / 1000 || 1;
  const grown = (key) => Math.max(0, sample[key] - before[key]);
  const per_command = grown("commands") ? grown("command_seconds") / grown("commands") : null;
  sample.figures = {
    term: highest("current_term"),
    commits: before.commit_index === null ? null : grown("commit_index") / seconds,
    latency: per_command === null ? null : 1000 * per_command,
    elections: totals.elections,
    writes: grown("commands") / seconds,
    reads: grown("reads") / seconds,
  };
  samples.push(sample);
  if (samples.length > KEPT_MS / 1000) samples.shift();
  redraw("figures");
}

function drawFigures() {
  const until = shownTime();
  const shown = samples.filter(({ at }) => at <= until && at > until - PLOT_MS);
  for (const [figure, , unit] of FIGURES) {
    const box = byId(`figure-${figure}`);
    const points = shown.map(({ at, figures }) => ({ at, value: figures[figure] }));
    const last = points.findLast((point) => point.value !== null)?.value ?? null;
    setText(box.querySelector(".value"), last === null ? "–" : readable(last));
    // A line goes from 0 to the highest value; of a rate, that is not told elsewhere.
    const highest = Math.max(0, ...points.map(({ value }) => value ?? 0));
    setText(box.querySelector(".highest"), unit && highest ? `max ${readable(highest)}` : "");
    set(box.querySelector(".plot"), "d", plot(points, until, highest));
  }
}

function readable(value) {
  const digits = value !== 0 && value < 10 && !Number.isInteger(value) ? 1 : 0;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

/** A line through the points that are known, from 0 to the highest. */
function plot(points, until, highest) {
  let path = "";
  let pen = "M";
  for (const { at, value } of points) {
    if (value === null) {
      pen = "M";
      continue;
    }
    const x = 120 * (1 - (until - at) / PLOT_MS);
    path += `${pen}${x.toFixed(1)} ${(29 - (27 * value) / (highest || 1)).toFixed(1)}`;
    pen = "L";
  }
  return path;
}

// ----------------------------------------------------------------------------------- Actions

let notice_ends;

/** Tells what came of an action. */
function tell(text) {
  setText(byId("notice"), text);
  clearTimeout(notice_ends);
  notice_ends = setTimeout(() => setText(byId("notice"), ""), 8000);
}

/** Asks one node for something; what it refuses is told in its own words. */
async function act(id, path, body) {
  const { status, json } = await ask(members.get(id).address, "POST", path, body);
  if (status === 200) return { id, json };
  const error = json.error ?? `it does not lead`;
  return { id, error: `${name(id)} answered ${status || "nothing"}: ${error}` };
}

/** Waits for several actions, and tells how they went. */
async function tellAll(done, actions) {
  const answers = await Promise.all(actions);
  const errors = answers.map((answer) => answer.error).filter(Boolean);
  tell(errors.length ? errors.join(" – ") : done);
}

const startElection = (id) =>
  tellAll(`${name(id)} starts an election.`, [act(id, "/api/election")]);
const sendHeartbeat = (id) =>
  tellAll(`${name(id)} sends a heartbeat.`, [act(id, "/api/heartbeat")]);
const pause = (id, paused) =>
  tellAll(
    paused ? `${name(id)} plays dead.` : `${name(id)} is awake.`,
    [act(id, "/api/pause", { paused })],
  );

/**
 * Where this node's process can be killed and started again; undefined if it was started by itself.
 * One that was dead when the page was opened has not said so: it belongs to the others' launcher.
 */
function launcherOf(id) {
  const { state } = latest(id);
  const states = state ? [state] : ids().map((other) => latest(other).state);
  return states.find((state) => state?.launcher)?.launcher;
}

async function runProcess(id, running) {
  const { status, json } = await ask(launcherOf(id), "POST", "/processes", { id, running });
  const done = running ? `The process of ${name(id)} is started again.`
    : `The process of ${name(id)} is killed.`;
  tell(status === 200 ? done : `The launcher answered ${status || "nothing"}: ${json.error}`);
}

/** The faults of a link, as /api/links has them. */
const CUT = { blocked: true };
const LOSE = { drop: 30 };
const SLOW = { delay_ms: 200 };
const WELL = {};

const setWay = (from, to, fault) => act(from, "/api/links", { peer: to, ...fault });

function setLink(a, b, fault, done) {
  return tellAll(done, [setWay(a, b, fault), setWay(b, a, fault)]);
}

/** Cuts every link between two groups, both ways, and mends those that were cut within a group. */
function separate(group, done) {
  const view = look(null);
  const side = (id) => group.includes(id);
  const actions = [];
  for (const from of ids().filter((id) => view.get(id).up)) {
    for (const to of ids().filter((id) => id !== from)) {
      const { state, drop, delay_ms } = linkBetween(view, from, to);
      if (side(from) !== side(to)) actions.push(setWay(from, to, CUT));
      else if (state === "cut") actions.push(setWay(from, to, { drop, delay_ms }));
    }
  }
  return tellAll(done(ids().filter((id) => !side(id))), actions);
}

function isolateLeader() {
  const leader = leaderOf(look(null));
  if (!leader) return tell("There is no leader to isolate.");
  return separate([leader.id], (others) => `${name(leader.id)} is cut off from ${names(others)}.`);
}

/** The leader's part is the smaller one, so that there is something to see: it cannot commit. */
function split() {
  const leader = leaderOf(look(null));
  const first = leader ? leader.id : ids()[0];
  const size = Math.max(1, Math.floor((members.size - 1) / 2));
  const others = ids().filter((id) => id !== first);
  const group = [first, ...others.slice(0, size - 1)];
  const done = (rest) => `Split: ${names(group)} on one side, ${names(rest)} on the other.`;
  return separate(group, done);
}

/** Makes all links well and wakes all nodes. */
async function healAll() {
  const answers = await Promise.all(ids().map(heal));
  const errors = answers.map((answer) => answer.error).filter(Boolean);
  const deaf = answers.filter((answer) => answer.is_deaf).map((answer) => answer.id);
  if (deaf.length) errors.push(`${names(deaf)} cannot be reached`);
  tell(errors.length ? `${errors.join(", ")}. All else is well and awake.`
    : "All links are well, all nodes are awake.");
}

/** Makes the links of a node well and wakes it. It is asked what there is to heal. */
async function heal(id) {
  const { status, json } = await ask(members.get(id).address, "GET", "/api/links");
  if (status !== 200) return { id, is_deaf: true };
  const bad = json.links.filter((link) => link.blocked || link.drop || link.delay_ms);
  const actions = bad.map((link) => setWay(id, link.peer, WELL));
  if (latest(id).state?.paused) actions.push(act(id, "/api/pause", { paused: false }));
  const answers = await Promise.all(actions);
  return answers.find((answer) => answer.error) ?? { id };
}

// -------------------------------------------------------------------------------------- Menu

/** The menu that is open: who opened it, and what is in it. */
let menu = null;

function nodeMenu(id) {
  const is_up = () => latest(id).up;
  const is_paused = () => Boolean(latest(id).state?.paused);
  const is_leader = () => latest(id).state?.role === "leader";
  const no_launcher = "this node was started by itself: use its own terminal";
  const item = (action, text, fits, run, why = "") => ({ action, text, fits, run, why });
  return {
    title: () => titleOfNode(id),
    items: [
      item("election", "Start an election", () => is_up() && !is_leader(), () => startElection(id)),
      item("heartbeat", "Send a heartbeat", () => is_up() && is_leader(), () => sendHeartbeat(id)),
      item("pause", "Pause", () => is_up() && !is_paused(), () => pause(id, true)),
      item("resume", "Resume", () => is_up() && is_paused(), () => pause(id, false)),
      item("kill", "Kill the process", () => is_up() && launcherOf(id),
        () => runProcess(id, false), launcherOf(id) ? "" : no_launcher),
      item("restart", "Restart the process", () => !is_up() && launcherOf(id),
        () => runProcess(id, true), launcherOf(id) ? "" : no_launcher),
    ],
  };
}

function titleOfNode(id) {
  const { state } = latest(id);
  if (!state) return `${name(id)} has not been heard yet`;
  const { role, current_term, voted_for, commit_index, last_applied } = state;
  const vote = voted_for === null ? "nobody" : name(voted_for);
  const now = isLive() ? "" : "Now: "; // the ring may show another moment
  return `${now}${name(id)}, ${role}\ncurrent_term ${current_term}, voted_for ${vote}\n` +
    `commit_index ${commit_index}, last_applied ${last_applied}`;
}

function linkMenu(a, b) {
  const [na, nb] = [name(a), name(b)];
  const both = `${na} and ${nb}`;
  const item = (action, text, run) => ({ action, text, run, fits: () => true, why: "" });
  return {
    title: () => `The link between ${both}`,
    items: [
      item("cut-forward", `Cut ${na} → ${nb}`,
        () => tellAll(`${na} → ${nb} is cut.`, [setWay(a, b, CUT)])),
      item("cut-backward", `Cut ${nb} → ${na}`,
        () => tellAll(`${nb} → ${na} is cut.`, [setWay(b, a, CUT)])),
      item("cut", "Cut both ways", () => setLink(a, b, CUT, `${both} are cut off.`)),
      item("lose", "Lose 30 %", () => setLink(a, b, LOSE, `${both} lose 30 % of messages.`)),
      item("slow", "Slow by 200 ms", () => setLink(a, b, SLOW, `${both} are slow by 200 ms.`)),
      item("heal", "Heal", () => setLink(a, b, WELL, `The link between ${both} is well.`)),
    ],
  };
}

function openByKey(key, opener, content) {
  if (key.key !== "Enter" && key.key !== " ") return;
  key.preventDefault();
  openMenu(opener, content);
}

function openMenu(opener, content, pointer) {
  const box = byId("menu");
  menu = { opener, content };
  box.replaceChildren(make("p", { id: "menu-title" }));
  for (const { action, text, why, run } of content.items) {
    const button = make("button", { type: "button", role: "menuitem", title: why }, text);
    set(button, "data-action", action);
    button.addEventListener("click", () => {
      closeMenu();
      run();
    });
    box.append(button);
  }
  box.hidden = false;
  drawMenu();
  placeMenu(box, opener, pointer);
  box.scrollIntoView({ block: "nearest" });
  (box.querySelector("button:enabled") ?? box).focus({ preventScroll: true });
}

/** Beside what was clicked, and within the ring. */
function placeMenu(box, opener, pointer) {
  const within = byId("ring").getBoundingClientRect();
  const of = opener.getBoundingClientRect();
  const x = (pointer?.detail ? pointer.clientX : of.left + of.width * 0.6) - within.left;
  const y = (pointer?.detail ? pointer.clientY : of.top + of.height * 0.6) - within.top;
  const place = (at, size, room) => `${Math.max(0, Math.min(at, room - size))}px`;
  box.style.left = place(x, box.offsetWidth, within.width);
  box.style.top = place(y, box.offsetHeight, within.height);
}

/** What a node can do changes while its menu is open. */
function drawMenu() {
  if (!menu) return;
  const box = byId("menu");
  setText(box.firstChild, menu.content.title());
  for (const { action, fits } of menu.content.items) {
    const button = box.querySelector(`[data-action="${action}"]`);
    const disabled = !fits();
    if (disabled && button === document.activeElement) box.focus({ preventScroll: true });
    if (button.disabled !== disabled) button.disabled = disabled;
  }
}

function closeMenu() {
  if (!menu) return;
  byId("menu").hidden = true;
  menu.opener.focus({ preventScroll: true });
  menu = null;
}

function moveInMenu(key) {
  if (key.key === "Escape" || key.key === "Tab") closeMenu();
  else moveAmong(byId("menu"), key);
}

// -------------------------------------------------------------------------------------- Tour

const STEPS = [
  ["kill", "Kill the leader",
    "Click the node with the crown, and choose “Kill the process”. (If each node runs in a " +
      "terminal of its own, press Ctrl+C in the leader's.)",
    "It turns grey. No heartbeat refills the countdown arcs of the others any more.",
    "A leader sends heartbeats so that nobody starts an election (Leaders 1, §5.2)."],
  ["watch", "Watch the election",
    "Wait until one of the arcs has run out. Then restart the dead node.",
    "That node becomes a candidate: its term goes up by one, triangles ask for votes, diamonds " +
      "bring them. With a majority it gets the crown.",
    "Timeouts are random, so that mostly one node asks first and wins (§5.2)."],
  ["write", "Write something",
    "In “The store” below, set a key; ask the leader.",
    "Squares carry the entry to the followers. In the logs it is hatched first, and filled as " +
      "soon as a majority has it.",
    "An entry is committed once the leader has stored it on a majority (§5.3, §5.4)."],
  ["split", "Split the cluster",
    "Press “Split in two”. Then set a key at the old leader: choose it by its number.",
    "It appends your entry, and cannot commit it. The larger side elects a leader of a newer term.",
    "Two majorities always share a node, so only one side can decide (§5.2)."],
  ["heal", "Heal it",
    "Press “Heal all”.",
    "The old leader hears of the newer term and steps down. What it could not commit is deleted.",
    "A newer term deposes a leader (All Servers 2, §5.1). Where two logs differ, the leader's " +
      "holds (AppendEntries 3, §5.3)."],
  ["stale", "Read stale",
    "Pause a follower, set a key anew, and then ask that follower with “get, local”.",
    "It answers with the old value, and its store below differs from the leader's.",
    "Only a leader that has just heard from a majority may answer reads (§8)."],
  ["repair", "See the repair",
    "Resume the follower.",
    "The leader finds the last entry on which both logs agree (▸ moves back), and sends all " +
      "that follow it.",
    "AppendEntries 2 and Leaders 3 (§5.3): that is Log Matching, kept by induction."],
];

/** Steps that are done, the one that is explained, and what the next ones need to know. */
const tour = { done: new Set(), shown: "kill", dead_term: null, stale: null };

function buildTour() {
  for (const [step, title] of STEPS) {
    const item = make("li", { "data-step": step, "data-done": false });
    const button = make("button", { type: "button" });
    button.append(make("i", { "aria-hidden": true }), make("span", {}, title));
    button.addEventListener("click", () => showStep(step));
    item.append(button);
    byId("tour").querySelector("ol").append(item);
  }
  byId("tour-open").addEventListener("click", () => openTour(true));
  byId("tour-close").addEventListener("click", () => openTour(false));
  openTour(recall("tour") !== "closed");
  showStep("kill");
}

/** A browser may forbid a page to remember anything. */
function recall(key) {
  try {
    return localStorage.getItem(`raftlet-${key}`);
  } catch {
    return null;
  }
}

function openTour(is_open) {
  byId("tour").hidden = !is_open;
  byId("tour-open").hidden = is_open;
  try {
    localStorage.setItem("raftlet-tour", is_open ? "open" : "closed");
  } catch {
    // Then the tour is open again next time.
  }
}

function showStep(step) {
  tour.shown = step;
  const [, , what, look_for, why] = STEPS.find(([name]) => name === step);
  setText(byId("tour-do"), what);
  setText(byId("tour-look"), look_for);
  setText(byId("tour-why"), why);
  STEPS.forEach(([name, title], number) => {
    const item = byId("tour").querySelector(`[data-step="${name}"]`);
    const is_done = tour.done.has(name);
    set(item, "data-done", is_done);
    set(item.firstChild, "aria-current", name === step ? "step" : "false");
    set(item.firstChild, "aria-label", `${number + 1}. ${title}${is_done ? ", done" : ""}`);
    setText(item.querySelector("i"), is_done ? "✓" : number + 1);
  });
}

/** A step was really done: on to the first that was not. */
function tick(step) {
  if (tour.done.has(step)) return;
  tour.done.add(step);
  const next = STEPS.find(([name]) => !tour.done.has(name));
  showStep(tour.shown === step && next ? next[0] : tour.shown);
}

/** Looks at every change of a node for what the tour waits for. */
function noticeForTour(id, before, after) {
  if (before?.up && !after.up && before.state?.role === "leader") {
    tour.dead_term = before.state.current_term;
    tick("kill");
  }
  const { role, current_term, last_applied, paused } = after.state ?? {};
  const is_elected = after.up && role === "leader" && current_term > tour.dead_term;
  if (tour.dead_term !== null && is_elected) tick("watch");
  const commands_before = before?.state?.counters?.commands;
  if (after.up && after.state.counters?.commands > commands_before) tick("write");
  if (tour.stale?.id === id && !paused && last_applied >= tour.stale.index) tick("repair");
  noticeLinksForTour();
}

/** Split: not every node reaches every other, not even over third ones. */
function noticeLinksForTour() {
  if (tour.done.has("heal")) return;
  const view = look(null);
  const reached = new Set([ids()[0]]);
  for (const a of reached) for (const b of ids()) if (canTalk(view, a, b)) reached.add(b);
  if (reached.size < members.size) tick("split");
  const is_well = ids().every((a) =>
    ids().every((b) => linkBetween(view, a, b).state === "ok" && !view.get(a).state?.paused));
  if (tour.done.has("split") && is_well) tick("heal");
}

/** Stale: another value than the leader's own store has at the same time. */
async function noticeReplyForTour(operation, id, { status, json }) {
  const leader = leaderOf(look(null));
  if (operation !== "local-get" || status !== 200 || !leader) return;
  const path = `/api/get/${encodeURIComponent(json.key)}?local=true`;
  const { json: latest } = await ask(members.get(leader.id).address, "GET", path);
  if (latest.last_applied <= json.last_applied || latest.value === json.value) return;
  tour.stale = { id, index: latest.last_applied };
  tick("stale");
}

// ------------------------------------------------------------------------------------- Start

function listenToReader() {
  // The browser may keep a page that was left, to go back to: with all its streams open.
  addEventListener("pagehide", () => members.forEach((member) => member.source.close()));
  addEventListener("pageshow", (show) => show.persisted && location.reload());
  byId("isolate-leader").addEventListener("click", isolateLeader);
  byId("split").addEventListener("click", split);
  byId("heal-all").addEventListener("click", healAll);
  byId("live").addEventListener("click", () => showMoment(null));
  byId("when").addEventListener("input", () => {
    const seconds = Number(byId("when").value);
    showMoment(seconds === 0 ? null : Date.now() + seconds * 1000);
    byId("timeline").scrollTop = 0;
  });
  byId("rules-open").addEventListener("click", () => openRule(rules[0]?.name ?? "SaveVote", null));
  byId("rule-close").addEventListener("click", () => byId("rule").close());
  // What had the focus in a menu may be disabled by now, so the keys are heard everywhere.
  addEventListener("keydown", (key) => menu && moveInMenu(key));
  byId("timeline").addEventListener("keydown", (key) => moveAmong(byId("timeline"), key));
  addEventListener("pointerdown", (down) => {
    if (menu && !byId("menu").contains(down.target)) closeMenu();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colours.clear();
    redraw("dots");
  });
}

function everySecond() {
  doubtTheSilent();
  countSurplus();
  takeSample();
  watchReign();
  if (!isLive()) showMoment(Math.max(moment, Date.now() - KEPT_MS));
  redraw("headline", "clock");
}

async function start() {
  await learnMembers();
  for (const id of ids()) history.set(id, []);
  for (const build of [buildRing, buildLogs, buildTimeline, buildStore, buildFigures, buildTour]) {
    build();
  }
  listenToReader();
  for (const member of members.values()) connect(member);
  setInterval(everySecond, 1000);
  learnRules();
}

start();
