/**
 * Loaded into Azurite before it starts: an answer to a write is sent only once what it says is in the file.
 *
 * Azurite keeps the names and block lists of blobs in lokijs databases, in memory, and saves them every five seconds:
 * killed in between, it loses blobs whose upload it had confirmed, which Azure never does. Writes that end while a save
 * is under way share the next one (lokijs does that), and a save replaces the file in one step.
 */
"use strict";

const http = require("node:http");
const Loki = require("node:module").createRequire(process.argv[1])("lokijs");

const READS = new Set(["GET", "HEAD", "OPTIONS"]);
const databases = new Set();

const enable = Loki.prototype.autosaveEnable;
Loki.prototype.autosaveEnable = function (...given) {
  databases.add(this);
  return enable.apply(this, given);
};

function saved(database) {
  if (!database.autosaveDirty() && !database.throttledSavePending) {
    return Promise.resolve();
  }
  return new Promise((resolve, reject) => database.saveDatabase((error) => (error ? reject(error) : resolve())));
}

const end = http.ServerResponse.prototype.end;
http.ServerResponse.prototype.end = function (...given) {
  if (READS.has(this.req.method)) {
    return end.apply(this, given);
  }
  Promise.all([...databases].map(saved)).then(
    () => end.apply(this, given),
    (error) => this.destroy(error),
  );
  return this;
};
