// Shows what the node tells of itself, whenever it changes.
const events = new EventSource("/events");
for (const name of ["status", "state"]) {
  events.addEventListener(name, ({ data }) => {
    document.getElementById("status").textContent = JSON.stringify(JSON.parse(data), null, 1);
  });
}
