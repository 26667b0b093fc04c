"use strict";
/**
 * The resident program of a Node.js sandbox: loads the function once, then answers calls.
 *
 * Not here: isolation, limits, time-outs and measuring; the executor does these from outside.
 *
 *     bootstrap.js <descriptor of the control connection> <task root>
 *
 * `launch.pl` has connected to the executor's socket twice: the first connection carries frames
 * (kind, length of head, length of body, JSON head, raw body), the second is descriptors 1 and 2.
 *
 * Between calls this process stands still in a blocking read, as a frozen sandbox does: timers and
 * promises that a call leaves behind go on during the next one. It also keeps the event loop empty
 * of anything of ours, so that "the event loop is empty" means what it says, and it is the fastest.
 */

const fs = require("fs");
const path = require("path");
const v8 = require("v8");
const { spawnSync } = require("child_process");
const { Writable } = require("stream");
const { pathToFileURL } = require("url");

const OUTPUT_BYTES_MAX = 6 * 1024 * 1024 + 100; // Lambda's
const HEAD_BYTES_MAX = 64 * 1024;
const RECEIVE_BYTES = 64 * 1024; // so that an ordinary call is one system call
const HEADER_BYTES = 9;
const TYPE_LENGTH_MAX = 256;
const MESSAGE_LENGTH_MAX = 4096;
const STACK_LENGTH_MAX = 8192;
const STACK_FRAMES_MAX = 40;
const GARBAGE_BYTES_MAX = 8 * 1024 * 1024; // what calls may leave uncollected
const STATUS_OF_FAILURE = 1;
const SUFFIXES = [".js", ".mjs", ".cjs", "/index.js", "/index.mjs", "/index.cjs"];
const NODE_MAJOR = process.versions.node.split(".")[0];

// Where files come in and go out: the same for every call, and no sender may tell otherwise.
const PLACES = Object.fromEntries(
  ["INPUT_FILE", "OUTPUT_DIR"].filter((name) => name in process.env).map((name) => [name, process.env[name]]),
);

const collect = globalThis.gc;
globalThis.gc = undefined; // libraries that find it call it, at milliseconds each
const naptime = new Int32Array(new SharedArrayBuffer(4));

// -- bytes ----------------------------------------------------------------------------------------

/** Write all of it. A child may have made a shared connection non-blocking. */
function writeAll(descriptor, bytes) {
  let written = 0;
  while (written < bytes.length) {
    try {
      written += fs.writeSync(descriptor, bytes, written);
    } catch (error) {
      if (error.code === "EAGAIN") Atomics.wait(naptime, 0, 0, 1);
      else if (error.code !== "EINTR") throw error;
    }
  }
}

/** Frames to and from the executor, one system call each where they are small. */
class Channel {
  constructor(descriptor) {
    this.descriptor = descriptor;
    this.buffer = Buffer.allocUnsafeSlow(RECEIVE_BYTES);
    this.unread = Buffer.alloc(0);
  }

  /** The next frame, valid until the one after it. Leaves when the executor hung up. */
  receive() {
    let received = this.unread.length > 0 ? this.unread : this.receiveSome(RECEIVE_BYTES);
    while (received.length < HEADER_BYTES) received = this.append(received, RECEIVE_BYTES);
    const bodyAt = HEADER_BYTES + received.readUInt32BE(1);
    const end = bodyAt + received.readUInt32BE(5);
    if (received.length < end) received = this.receiveUntil(received, end);
    this.unread = received.length > end ? Buffer.from(received.subarray(end)) : Buffer.alloc(0);
    return {
      kind: String.fromCharCode(received[0]),
      head: JSON.parse(received.toString("utf8", HEADER_BYTES, bodyAt)),
      body: received.subarray(bodyAt, end),
    };
  }

  receiveUntil(received, end) {
    const whole = Buffer.allocUnsafeSlow(Math.max(end, received.length));
    let length = received.copy(whole);
    while (length < end) length += this.read(whole, length, end - length);
    return whole;
  }

  receiveSome(limit) {
    return this.buffer.subarray(0, this.read(this.buffer, 0, limit));
  }

  append(received, limit) {
    const before = Buffer.from(received); // what it shows is about to be overwritten
    return Buffer.concat([before, this.receiveSome(limit)]);
  }

  read(into, at, limit) {
    for (;;) {
      let length = 0;
      try {
        length = fs.readSync(this.descriptor, into, at, limit);
      } catch (error) {
        if (error.code === "EINTR") continue;
        if (error.code !== "ECONNRESET") throw error;
      }
      if (length === 0) process.exit(0);
      return length;
    }
  }

  send(kind, head, body = "") {
    let encoded = JSON.stringify(head);
    if (Buffer.byteLength(encoded) > HEAD_BYTES_MAX) {
      const message = head.failure.message.slice(0, 1024);
      encoded = JSON.stringify({ ...head, failure: { ...head.failure, message, stack: [] } });
    }
    const headLength = Buffer.byteLength(encoded);
    const bodyLength = Buffer.byteLength(body);
    const frame = Buffer.allocUnsafe(HEADER_BYTES + headLength + bodyLength);
    frame[0] = kind.charCodeAt(0);
    frame.writeUInt32BE(headLength, 1);
    frame.writeUInt32BE(bodyLength, 5);
    frame.write(encoded, HEADER_BYTES);
    frame.write(body, HEADER_BYTES + headLength);
    writeAll(this.descriptor, frame);
  }
}

/** process.stdout and stderr that have written when they return: nothing is late for an answer. */
function openText(name, descriptor) {
  const stream = new Writable({
    autoDestroy: false,
    write(bytes, _encoding, done) {
      try {
        writeAll(descriptor, bytes);
      } catch {
        // the log is closed; the function need not fail for it
      }
      done();
    },
  });
  stream.fd = descriptor;
  stream._isStdio = true;
  Object.defineProperty(process, name, { configurable: true, enumerable: true, value: stream });
}

// -- failures -------------------------------------------------------------------------------------

/** The function failed; `failure` is what its sender reads. */
class Failed {
  constructor(type, message, stack = []) {
    this.failure = {
      type: cut(type, TYPE_LENGTH_MAX),
      message: cut(message, MESSAGE_LENGTH_MAX),
      stack: stack.map((line) => cut(line, STACK_LENGTH_MAX)),
    };
  }
}

/** Bounded, and without halves of surrogate pairs, which the executor would not take. */
function cut(text, lengthMax) {
  return Buffer.from(text.slice(0, lengthMax)).toString();
}

function failedWith(error) {
  if (error instanceof Failed) return error;
  if (!isError(error)) return new Failed(nameOfType(error), textOf(error));
  return new Failed(textOf(error.name || "Error"), textOf(error.message), userStack(error));
}

/** Errors of another realm (`vm`) too. */
function isError(value) {
  return value instanceof Error || Object.prototype.toString.call(value) === "[object Error]";
}

function nameOfType(value) {
  return value === null ? "null" : typeof value;
}

function textOf(value) {
  try {
    const isObject = typeof value === "object" && value !== null;
    return isObject ? String(JSON.stringify(value)) : String(value);
  } catch (second) {
    return `(it cannot be read: ${nameOfType(second)})`;
  }
}

/** "Error: text", of whatever was thrown. */
function headlineOf(error) {
  return isError(error) ? `${textOf(error.name)}: ${textOf(error.message)}` : textOf(error);
}

/** Lines as Node.js prints them, innermost first, without frames of this file and of Node.js. */
function userStack(error) {
  const lines = framesOf(error);
  let { cause } = error;
  while (isError(cause) && lines.length < STACK_FRAMES_MAX) {
    lines.push(`Caused by ${headlineOf(cause)}`, ...framesOf(cause));
    ({ cause } = cause);
  }
  let room = STACK_LENGTH_MAX;
  return lines.slice(0, STACK_FRAMES_MAX).filter((line) => (room -= line.length) >= 0);
}

function framesOf(error) {
  return textOf(error.stack)
    .split("\n")
    .filter((line) => /^\s+at /.test(line) && !isOurs(line));
}

function isOurs(line) {
  return line.includes(__filename) || /(\(|at )node:internal\//.test(line);
}

// -- loading --------------------------------------------------------------------------------------

/** The parts of a context that stay the same from call to call. */
function describeFunction(head) {
  const name = head.function_id ?? "";
  const region = head.region ?? "us-east-1";
  return {
    name,
    region,
    memoryMb: head.memory_mb ?? 128,
    arn: `arn:aws:lambda:${region}:${head.account_id ?? "000000000000"}:function:${name}`,
    logGroup: `/aws/lambda/${name}`,
    logStream: head.sandbox_id ?? "",
  };
}

/** The sender's variables first: what the platform says wins. */
function setEnvironment(head, about, taskRoot) {
  const platform = {
    _HANDLER: head.handler,
    AWS_REGION: about.region,
    AWS_DEFAULT_REGION: about.region,
    AWS_EXECUTION_ENV: `AWS_Lambda_nodejs${NODE_MAJOR}.x`,
    AWS_LAMBDA_FUNCTION_NAME: about.name,
    AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(about.memoryMb),
    AWS_LAMBDA_LOG_GROUP_NAME: about.logGroup,
    AWS_LAMBDA_LOG_STREAM_NAME: about.logStream,
    AWS_LAMBDA_INITIALIZATION_TYPE: "on-demand",
    LAMBDA_TASK_ROOT: taskRoot,
    LAMBDA_RUNTIME_DIR: "/var/runtime",
    ...PLACES,
  };
  for (const [name, value] of Object.entries({ TZ: ":UTC", ...head.env, ...platform })) {
    if (typeof value !== "string" || /[\0=]/.test(name) || value.includes("\0")) {
      const message = `envVars holds '${name}', which no process can be given`;
      throw new Failed("Runtime.InvalidEnvironment", message);
    }
    process.env[name] = value;
  }
}

/** The function that `name` ("index.handler", "dir/file.fn", "file.object.fn") stands for. */
async function loadHandler(name, taskRoot) {
  const [, moduleName, functionName] = /^((?:[^/]+\/)*[^/.]+)\.([^/]+)$/.exec(name) ?? [];
  const names = functionName?.split(".") ?? [""];
  if (names.includes("") || name.includes("..")) {
    const message = `Bad handler '${name}': write it as file.function, for example index.handler`;
    throw new Failed("Runtime.MalformedHandlerName", message);
  }
  const exported = await loadModule(moduleName, taskRoot);
  const handler = names.reduce((parent, key) => parent?.[key], exported);
  if (typeof handler === "function") return handler;
  const message =
    `Handler '${functionName}' missing on module '${moduleName}'; ` +
    `it exports: ${listFunctions(exported) || "no function"}. ` +
    `Export ${functionName}(event, context) or set handler to one that exists`;
  throw new Failed("Runtime.HandlerNotFound", message);
}

function listFunctions(exported) {
  const keys = Object.keys(exported ?? {});
  return keys.filter((key) => typeof exported[key] === "function").sort().join(", ");
}

async function loadModule(name, taskRoot) {
  const file = findModule(name, taskRoot);
  try {
    if (isEsModule(file, taskRoot)) return await import(pathToFileURL(file).href);
    return require(file);
  } catch (error) {
    throw explainLoading(name, file, error);
  }
}

function findModule(name, taskRoot) {
  const base = path.join(taskRoot, name);
  const found = SUFFIXES.map((suffix) => base + suffix).find((file) => {
    return fs.statSync(file, { throwIfNoEntry: false })?.isFile();
  });
  if (found !== undefined) return found;
  const held = fs.readdirSync(taskRoot).sort().slice(0, 20).join(", ");
  const message =
    `Unable to import module '${name}': there is no such file. ` +
    `Put ${name}.js or ${name}.mjs into the archive, counted from its root, or set handler; ` +
    `the archive holds: ${held || "nothing"}`;
  throw new Failed("Runtime.ImportModuleError", message);
}

/** What Node.js itself would take the file for. */
function isEsModule(file, taskRoot) {
  if (!file.endsWith(".js")) return file.endsWith(".mjs");
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    try {
      const described = fs.readFileSync(path.join(folder, "package.json"), "utf8");
      return JSON.parse(described).type === "module";
    } catch (error) {
      if (error.code !== "ENOENT") return false; // Node.js itself complains of a broken one
    }
    if (folder.length <= taskRoot.length) return false;
  }
}

function explainLoading(name, file, error) {
  if (!isError(error)) return failedWith(error);
  const advice = adviseOnImport(error);
  if (advice !== undefined) {
    const reason = textOf(error.message).split("\n", 1)[0];
    const message = `Unable to import module '${name}': ${reason}. ${advice}`;
    return new Failed("Runtime.ImportModuleError", message, userStack(error));
  }
  if (!isOfCompiling(error)) return failedWith(error);
  const [place, ...shown] = findSyntaxError(error, file).split("\n");
  const next = adviseOnSyntax(error);
  const message = `Syntax error in module '${name}': ${textOf(error.message)} (${place})${next}`;
  return new Failed("Runtime.UserCodeSyntaxError", message, shown.slice(0, 2));
}

/** A SyntaxError of JSON.parse, in comparison, comes from a line that ran. */
function isOfCompiling(error) {
  if (error.name !== "SyntaxError") return false;
  return !textOf(error.stack).startsWith("SyntaxError") || framesOf(error).length === 0;
}

/** "file:line", the line and the mark under it; of an ES module Node.js only prints them. */
function findSyntaxError(error, file) {
  const stack = textOf(error.stack);
  if (!stack.startsWith("SyntaxError")) return stack;
  const checked = spawnSync(process.execPath, ["--check", file], { encoding: "utf8" });
  return checked.status === 0 ? `in a module that ${path.basename(file)} imports` : checked.stderr;
}

/** The next step for what could not be found or opened; undefined for other errors. */
function adviseOnImport(error) {
  switch (error.code) {
    case "MODULE_NOT_FOUND":
    case "ERR_MODULE_NOT_FOUND": {
      const [, missing = ""] = /'([^']+)'/.exec(error.message) ?? [];
      if (/^[./]/.test(missing)) return `Put ${missing} into the archive, or mend its name`;
      return `Add it to the archive: npm install ${missing} in its folder; pack node_modules too`;
    }
    case "ERR_REQUIRE_ESM":
    case "ERR_REQUIRE_ASYNC_MODULE":
      return "Load it with await import(), or make the function an ES module (index.mjs)";
    case "ERR_DLOPEN_FAILED":
      return `Check that the archive was built for Linux and for Node.js ${NODE_MAJOR}`;
    default:
      return undefined;
  }
}

function adviseOnSyntax(error) {
  if (!/import statement outside a module|Unexpected token 'export'/.test(error.message)) return "";
  return '. Name the file .mjs, or put {"type": "module"} into package.json';
}

// -- calls ----------------------------------------------------------------------------------------

/** One call: settled once, by whichever comes first of its handler's ways to end. */
class Call {
  constructor(head, about) {
    this.id = head.id;
    this.isAsync = false;
    this.isSettled = false;
    this.held = undefined; // what a callback gave, until the event loop is empty
    this.context = describeContext(this, head, about);
  }

  run(handler, body) {
    let event;
    try {
      event = JSON.parse(body);
    } catch (error) {
      this.fail(new Failed("Runtime.UnmarshalError", `The input is not JSON: ${error.message}`));
      return;
    }
    try {
      const returned = handler(event, this.context, (error, value) => this.callBack(error, value));
      if (typeof returned?.then === "function") this.follow(returned);
      // A handler that takes a callback may return anything, the timer that it has set for example.
      else if (returned !== undefined && handler.length < 3) this.succeed(returned);
    } catch (error) {
      this.fail(error);
    }
  }

  follow(promise) {
    this.isAsync = true;
    Promise.resolve(promise).then(
      (value) => this.succeed(value),
      (error) => this.fail(error),
    );
  }

  callBack(error, value) {
    if (this.isSettled || this.held !== undefined) return;
    if (!isNothing(error)) this.fail(error);
    else if (this.context.callbackWaitsForEmptyEventLoop) this.held = { value };
    else this.succeed(value);
  }

  /** Nothing is left that could end this call but what it said already. */
  loopEmptied() {
    if (this.isSettled) return;
    if (!this.isAsync || this.held !== undefined) {
      this.succeed(this.held?.value);
      return;
    }
    const message =
      "The handler's promise was never settled, and nothing is left that could settle it. " +
      "Look for an await of something that is never resolved, such as a callback not called";
    this.fail(new Failed("Runtime.NodeJsExit", message));
  }

  succeed(value) {
    if (this.isSettled) return;
    let output;
    try {
      output = marshal(value);
    } catch (error) {
      this.fail(error);
      return;
    }
    this.settle({}, output);
  }

  fail(error) {
    if (this.isSettled) return;
    this.settle({ failure: failedWith(error).failure }, "");
  }

  /** One turn of the loop later: a rejection that nobody handles is known by then. */
  settle(head, output) {
    this.isSettled = true;
    setImmediate(() => answer({ id: this.id, ...head }, output));
  }
}

function isNothing(value) {
  return value === undefined || value === null;
}

/** What Lambda calls the context object, `attempt`, and where files are. */
function describeContext(call, head, about) {
  const deadlineMs = head.deadline_ms ?? 0;
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: about.name,
    functionVersion: "$LATEST",
    invokedFunctionArn: about.arn,
    memoryLimitInMB: String(head.memory_mb ?? about.memoryMb),
    logGroupName: about.logGroup,
    logStreamName: about.logStream,
    awsRequestId: head.id,
    attempt: head.attempt ?? 1,
    inputPath: head.input_path,
    inputBytes: head.input_bytes,
    outputDir: PLACES.OUTPUT_DIR,
    clientContext: undefined,
    identity: undefined,
    getRemainingTimeInMillis: () => Math.max(deadlineMs - Date.now(), 0),
    done: (error, value) => (isNothing(error) ? call.succeed(value) : call.fail(error)),
    succeed: (value) => call.succeed(value),
    fail: (error) => call.fail(error),
  };
}

/** The output as JSON; throws Failed, or what a toJSON of the function throws. */
function marshal(value) {
  let output;
  try {
    output = value === undefined ? "null" : JSON.stringify(value);
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw notJson(error.message);
    throw error;
  }
  if (output === undefined) throw notJson(`a value of type ${typeof value} is none`);
  // JSON.stringify escapes halves of surrogate pairs, and nothing else this way.
  const hasHalf = /(?:^|[^\\])(?:\\\\)*\\ud[89a-f]/.test(output);
  if (hasHalf) throw notJson("a text holds half a surrogate pair");
  const length = Buffer.byteLength(output);
  if (length > OUTPUT_BYTES_MAX) {
    const message =
      `Response payload size (${length} bytes) exceeded maximum allowed payload size ` +
      `(${OUTPUT_BYTES_MAX} bytes). Write large results to S3 and return where they are`;
    throw new Failed("Function.ResponseSizeTooLarge", message);
  }
  return output;
}

function notJson(reason) {
  const message =
    `The result is not JSON: ${reason}. ` +
    "Return only objects, arrays, strings, booleans, numbers and null";
  return new Failed("Runtime.MarshalError", message);
}

// -- the process ----------------------------------------------------------------------------------

let channel;
let taskRoot;
let about;
let handler; // undefined until the function is loaded
let call; // the one under way
let owed; // the frame that the executor waits for: kind and head; undefined between calls
let keptBytes = 0; // what the last collection left

/** Take the next frame; stands still until it comes. */
function serve() {
  const { kind, head, body } = channel.receive();
  if (kind === "I") {
    owed = { kind: "R", head: {} };
    init(head);
  } else if (kind === "C" && handler !== undefined) {
    owed = { kind: "A", head: { id: head.id } };
    const attempt = String(head.attempt ?? 1);
    if (process.env.HEARTH_ATTEMPT !== attempt) process.env.HEARTH_ATTEMPT = attempt;
    call = new Call(head, about);
    call.run(handler, body.toString());
  } else {
    process.stderr.write(`bootstrap: frame ${kind} out of order\n`);
    process.exit(STATUS_OF_FAILURE);
  }
}

async function init(head) {
  about = describeFunction(head);
  let report = {};
  try {
    setEnvironment(head, about, taskRoot);
    handler = await loadHandler(head.handler, taskRoot);
  } catch (error) {
    report = { failure: failedWith(error).failure };
  }
  setImmediate(answer, report, "");
}

function answer(head, output) {
  const { kind } = owed;
  owed = call = undefined;
  collectGarbage();
  channel.send(kind, head, output);
  serve();
}

/**
 * What a large call leaves uncollected would be in the memory peak of the next one, so it goes
 * before the answer, two milliseconds for a small heap. In proportion for a large one: it would
 * have to be collected about then anyway.
 */
function collectGarbage() {
  const bytes = countBytes();
  if (bytes - keptBytes < Math.max(GARBAGE_BYTES_MAX, keptBytes / 2)) return;
  collect();
  // Where V8 had begun a collection itself, that one was finished; it spares what is younger.
  if (countBytes() > bytes / 2) collect();
  keptBytes = countBytes();
}

function countBytes() {
  const { used_heap_size: used, external_memory: external } = v8.getHeapStatistics();
  return used + external;
}

/** Say why there is no output, and that there will be no other call either. */
function reportLeaving(failed) {
  if (owed === undefined) return;
  const { kind, head } = owed;
  owed = undefined;
  channel.send(kind, { ...head, failure: failed.failure, leaving: true });
}

function watchProcess() {
  process.on("beforeExit", () => {
    if (call !== undefined) call.loopEmptied();
    else if (owed !== undefined) neverLoaded();
  });
  process.on("exit", (status) => {
    const message =
      `The function left the process with process.exit(${status}). ` +
      "Return a value or throw an error instead";
    reportLeaving(new Failed("Runtime.ExitError", message, userStack(new Error("exit"))));
  });
  process.on("uncaughtException", (error) => {
    if (process.listenerCount("uncaughtException") > 1) return; // the function sees to it
    reportLeaving(failedWith(error));
    process.exit(STATUS_OF_FAILURE);
  });
  process.on("unhandledRejection", (error) => {
    if (process.listenerCount("unhandledRejection") > 1) return;
    const message =
      `${headlineOf(error)}. Nothing handles this rejection: ` +
      "await the promise, or give it a catch";
    const stack = isError(error) ? userStack(error) : [];
    reportLeaving(new Failed("Runtime.UnhandledPromiseRejection", message, stack));
    process.exit(STATUS_OF_FAILURE);
  });
}

function neverLoaded() {
  const message =
    "The module never finished loading: a top-level await waits for something that never comes";
  reportLeaving(new Failed("Runtime.NodeJsExit", message));
  process.exit(STATUS_OF_FAILURE);
}

function main() {
  const [, , descriptor, root] = process.argv;
  taskRoot = root;
  process.argv.length = 2;
  channel = new Channel(Number(descriptor));
  openText("stdout", 1);
  openText("stderr", 2);
  watchProcess();
  process.chdir(taskRoot);
  channel.send("H", { pid: process.pid, runtime: `nodejs${NODE_MAJOR}` });
  serve();
}

main();
