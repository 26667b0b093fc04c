// A light function: it greets and counts how often its process was used.

let calls = 0;

exports.handler = async (event) => {
  calls += 1;
  console.log(`greeting ${event.name}`);
  return { greeting: `Hello, ${event.name}!`, calls };
};
