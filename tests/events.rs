//! `bulkhead events`: what a container uses, and when it runs out of memory.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, Outcome, eventually, needs, slowness};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const MEBIBYTE: u64 = 1 << 20;

/// When something that takes a moment has certainly failed.
fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(10) * slowness()
}

fn events(bundle: &Bundle, words: &[&str]) -> Outcome {
    bundle.call(&[&["events"], words, &[&bundle.id]].concat())
}

/// The one line of `events --stats`.
fn stats(bundle: &Bundle) -> Value {
    let told = events(bundle, &["--stats"]).succeeded();
    assert_eq!(told.stderr, "");
    assert_eq!(told.stdout.lines().count(), 1, "{}", told.stdout);
    let line: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(
        (&line["type"], &line["id"]),
        (&json!("stats"), &json!(bundle.id))
    );
    line["data"].clone()
}

/// `events` in the background, its output in a file.
struct Stream {
    child: Child,
    file: std::path::PathBuf,
}

impl Stream {
    fn start(bundle: &Bundle, interval: &str) -> Self {
        let file = bundle.dir.join("stream");
        let mut command = bundle.command(&["events", "--interval", interval, &bundle.id]);
        let child = command
            .stdout(File::create(&file).unwrap())
            .spawn()
            .unwrap();
        Self { child, file }
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    fn count(&self, kind: &str) -> usize {
        self.lines().iter().filter(|l| l["type"] == kind).count()
    }

    #[track_caller]
    fn wait_for(&self, kind: &str, count: usize) {
        let deadline = deadline();
        while self.count(kind) < count {
            assert!(
                Instant::now() < deadline,
                "not {count} of {kind}: {:?}",
                self.lines()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Fails the test unless the stream ends soon and well.
    #[track_caller]
    fn ends(mut self) -> Vec<Value> {
        let deadline = deadline();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return self.lines();
            }
            if Instant::now() > deadline {
                self.child.kill().unwrap();
                panic!("goes on: {:?}", self.lines());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Is at its wait once the stream has registered: the first line has come.
fn streamed(bundle: &Bundle) -> Stream {
    let stream = Stream::start(bundle, "50ms");
    stream.wait_for("stats", 1);
    stream
}

#[test]
fn stats_tell_what_is_used_and_what_is_allowed() {
    needs!(root, busybox);
    let mut bundle =
        Bundle::busybox("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo x; exec sleep 60");
    let resources = json!({
        "memory": { "limit": 64 * MEBIBYTE },
        "cpu": { "quota": 10000, "period": 100_000, "cpus": "0" },
        "pids": { "limit": 20 },
    });
    for (field, value) in resources.as_object().unwrap() {
        bundle.set(&format!("/linux/resources/{field}"), value.clone());
    }
    let mut parent = bundle.run_in_background();
    while bundle.background_output().is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    let data = stats(&bundle);
    let number = |pointer: &str| data.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    assert_eq!(number("/memory/usage/limit"), 64 * MEBIBYTE, "{data}");
    assert!(number("/memory/usage/usage") > 4096, "{data}");
    assert!(number("/memory/usage/usage") < 64 * MEBIBYTE, "{data}");
    assert!(
        data["memory"]["raw"].as_object().unwrap().len() > 20,
        "{data}"
    );
    assert_eq!(data["pids"], json!({ "current": 1, "limit": 20 }));
    assert_eq!(data["cpuset"]["cpus"], json!([0]), "{data}");
    // A shell that counts to 30000 is busy for more than a hundredth of a second, and less than ten.
    let used = number("/cpu/usage/total");
    assert!((10_000_000..10_000_000_000).contains(&used), "{data}");
    assert!(number("/cpu/throttling/periods") > 0, "{data}");
    assert!(number("/cpu/throttling/throttledPeriods") > 0, "{data}");
    assert!(
        number("/cpu/throttling/throttledTime") > 1_000_000,
        "{data}"
    );
    // Pressure is counted in v2 groups, which are on a hybrid host too.
    let v2 =
        ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(|dir| Path::new(dir).join("cgroup.procs"));
    let counts_pressure = v2.iter().any(|file| file.exists());
    for resource in ["cpu", "memory", "blkio"] {
        let psi = &data[resource]["psi"];
        assert_eq!(
            psi["some"]["avg10"].is_f64(),
            counts_pressure,
            "{resource}: {psi}"
        );
        assert_eq!(
            psi["full"]["total"].is_u64(),
            counts_pressure,
            "{resource}: {psi}"
        );
    }
    assert_eq!(data["network_interfaces"], Value::Null);
    bundle.kill("KILL").succeeded();
    parent.wait().unwrap();
}

#[test]
fn a_container_without_limits_is_counted_too() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exec sleep 60");
    bundle.create().succeeded();
    bundle.start().succeeded();
    let data = stats(&bundle);
    assert_eq!(data["pids"]["current"], 1, "{data}");
    let used = data["memory"]["usage"]["usage"].as_u64().unwrap();
    assert!(used > 4096, "{data}");
    assert!(!data["memory"]["raw"]["pgfault"].is_null(), "{data}");
    if let Ok(all) = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers") {
        let own = std::fs::read_to_string(bundle.group("").join("cgroup.controllers"));
        assert_eq!(own.unwrap(), all, "what limits nothing counts");
    }
}

#[test]
fn a_line_comes_after_each_interval_until_the_container_ends() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exec sleep 60");
    bundle.create().succeeded();
    let stream = Stream::start(&bundle, "50ms");
    stream.wait_for("stats", 2);
    bundle.start().succeeded();
    stream.wait_for("stats", stream.lines().len() + 2);
    bundle.call(&["pause", &bundle.id]).succeeded();
    stream.wait_for("stats", stream.lines().len() + 2);
    bundle.kill("KILL").succeeded();
    let lines = stream.ends();
    assert!(lines.iter().all(|l| l["type"] == "stats"), "{lines:?}");
    assert!(lines.iter().all(|l| l["data"]["cpu"].is_object()));
}

#[test]
fn a_long_interval_does_not_hold_the_end_up() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exec sleep 60");
    bundle.create().succeeded();
    let stream = Stream::start(&bundle, "1h");
    let fds = format!("/proc/{}/fd", stream.child.id());
    let watches = || {
        let links = std::fs::read_dir(&fds).into_iter().flatten().flatten();
        let mut links = links.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        links.any(|link| link.to_string_lossy().starts_with("anon_inode:[event"))
    };
    let deadline = deadline();
    while !watches() {
        assert!(Instant::now() < deadline, "never watches");
        thread::sleep(Duration::from_millis(5));
    }
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    assert_eq!(stream.ends(), Vec::<Value>::new());
}

#[test]
fn running_out_of_memory_is_told_at_once_and_in_the_state_afterwards() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["alloc-memory", "64"]);
    let limit = json!({ "limit": 24 * MEBIBYTE, "swap": 24 * MEBIBYTE });
    bundle.set("/linux/resources/memory", limit);
    bundle.create().succeeded();
    let stream = streamed(&bundle);
    assert_eq!(bundle.state().get("oomKilled"), None);
    bundle.start().succeeded();
    let lines = stream.ends();
    let oom = json!({ "type": "oom", "id": bundle.id });
    assert!(lines.contains(&oom), "{lines:?}");
    let state = bundle.wait_for_status("stopped");
    assert_eq!(state["oomKilled"], true, "{state}");
}

#[test]
fn a_container_that_outlives_a_shortage_tells_of_each() {
    needs!(root, busybox);
    // tail keeps what it has read, in search of the end of a line.
    let script = "read x </dev/shm/go; tail /dev/zero; echo one; read x </dev/shm/go; tail /dev/zero; echo two; exec sleep 60";
    let mut bundle = Bundle::busybox(&format!("mkfifo /dev/shm/go; {script}"));
    let limit = json!({ "limit": 24 * MEBIBYTE, "swap": 24 * MEBIBYTE });
    bundle.set("/linux/resources/memory", limit);
    let mut parent = bundle.run_in_background();
    let stream = streamed(&bundle);
    for (n, word) in ["one", "two"].iter().enumerate() {
        assert_eq!(stream.count("oom"), n);
        let root = format!("/proc/{}/root", bundle.state()["pid"]);
        let pipe = Path::new(&root).join("dev/shm/go");
        eventually("the shell's pipe", || pipe.exists());
        std::fs::write(pipe, "\n").unwrap();
        stream.wait_for("oom", n + 1);
        eventually(word, || bundle.background_output().contains(word));
        assert_eq!(bundle.state()["status"], "running");
    }
    bundle.kill("KILL").succeeded();
    parent.wait().unwrap();
    let lines = stream.ends();
    assert_eq!(
        lines.iter().filter(|l| l["type"] == "oom").count(),
        2,
        "{lines:?}"
    );
}

#[test]
fn how_a_detached_container_ended_for_want_of_memory_is_written_down() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["alloc-memory", "64"]);
    let limit = json!({ "limit": 24 * MEBIBYTE, "swap": 24 * MEBIBYTE });
    bundle.set("/linux/resources/memory", limit);
    bundle.call(&["run", "--detach", &bundle.id]).succeeded();
    assert_eq!(bundle.call(&["wait", &bundle.id]).stdout, "137\n");
    let state = bundle.state();
    assert_eq!(state["exit"]["oom"], true, "{state}");
    assert_eq!(state["exit"]["signal"], 9);
    assert_eq!(state["oomKilled"], true);
}

#[test]
fn a_group_that_is_removed_as_soon_as_it_is_empty_has_told_before() {
    needs!(root, cgroup2, busybox);
    let mut bundle =
        Bundle::busybox("until [ -e /dev/shm/go ]; do sleep 0.05; done; exec tail /dev/zero");
    let limit = json!({ "limit": 24 * MEBIBYTE, "swap": 24 * MEBIBYTE });
    bundle.set("/linux/resources/memory", limit);
    let above = format!("/above-{}", bundle.id);
    let path = format!("{above}/{}", bundle.id);
    bundle.set("/linux/cgroupsPath", json!(path));
    bundle.call(&["run", "--detach", &bundle.id]).succeeded();
    let stream = streamed(&bundle);
    // As systemd does.
    let group = bundle.group("");
    let remover = thread::spawn(move || while std::fs::remove_dir(&group).is_err() {});
    let go = format!("/proc/{}/root/dev/shm/go", bundle.state()["pid"]);
    std::fs::write(go, "").unwrap();
    let lines = stream.ends();
    let kinds: Vec<&Value> = lines.iter().map(|l| &l["type"]).collect();
    assert!(kinds.contains(&&json!("oom")), "{kinds:?}");
    assert_eq!(bundle.call(&["wait", &bundle.id]).stdout, "137\n");
    assert_eq!(bundle.state()["exit"]["oom"], true);
    remover.join().unwrap();
    bundle.delete().succeeded();
    std::fs::remove_dir(Path::new("/sys/fs/cgroup").join(&above[1..])).unwrap();
}

#[test]
fn who_runs_a_container_is_told_that_it_ran_out_of_memory() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["alloc-memory", "64"]);
    let limit = |bytes: u64| json!({ "limit": bytes, "swap": bytes });
    bundle.set("/linux/resources/memory", limit(24 * MEBIBYTE));
    let ran = bundle.run();
    assert_eq!(ran.code, 137);
    assert!(ran.stderr.contains("killed for want of memory"), "{ran:?}");

    bundle.set("/linux/resources/memory", limit(64 << 10));
    let too_low = "container init was OOM-killed (memory limit too low?)";
    bundle.create().failed_with(too_low);
    bundle.run().failed_with(too_low);
    bundle
        .call(&["run", "--detach", &bundle.id])
        .failed_with(too_low);
}

#[test]
fn an_end_with_memory_to_spare_is_not_called_a_shortage() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["alloc-memory", "4"]);
    bundle.set("/linux/resources/memory", json!({ "limit": 64 * MEBIBYTE }));
    bundle.create().succeeded();
    let stream = streamed(&bundle);
    bundle.start().succeeded();
    let lines = stream.ends();
    assert!(lines.iter().all(|l| l["type"] == "stats"), "{lines:?}");
    let state = bundle.wait_for_status("stopped");
    assert_eq!(state.get("oomKilled"), None);
}

#[test]
fn a_reader_that_goes_away_ends_the_stream_quietly() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exec sleep 60");
    bundle.create().succeeded();
    let mut command = bundle.command(&["events", "--interval", "20ms", &bundle.id]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    assert!(first.starts_with("{\"type\":\"stats\""), "{first}");
    assert!(child.wait().unwrap().success());
    let mut said = String::new();
    child.stderr.unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn what_cannot_be_told_is_refused_in_runcs_words() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exit 0");
    events(&bundle, &["--interval=0s"]).failed_with("container does not exist");
    bundle.create().succeeded();
    for interval in ["0", "0s", "-5s", "-1h"] {
        events(&bundle, &[&format!("--interval={interval}"), "--stats"])
            .failed_with("duration interval must be greater than 0");
    }
    events(&bundle, &["--interval", "5"])
        .failed_with("invalid value \"5\" for flag -interval: parse error");
    bundle.start().succeeded();
    bundle.wait_for_status("stopped");
    let stopped = format!("container with id {} is not running", bundle.id);
    events(&bundle, &[]).failed_with(&stopped);
    events(&bundle, &["--stats"]).failed_with(&stopped);
}

#[test]
fn stats_tell_of_the_class_of_service() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exec sleep 60");
    bundle.create().succeeded();
    assert_eq!(stats(&bundle)["intel_rdt"], json!({}));
    bundle.put_in_class("    L3:0=f\n");
    let class = json!({ "l3_cache_schema": "L3:0=f", "schemata": ["L3:0=f"] });
    assert_eq!(stats(&bundle)["intel_rdt"], class);
}

#[test]
fn a_container_without_a_group_has_no_events() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exec sleep 60");
    let create = ["--cgroup-manager", "disabled", "create", &bundle.id];
    bundle.call(&create).succeeded();
    events(&bundle, &["--stats"]).failed_with("has no cgroup of its own, and events needs one");
}
