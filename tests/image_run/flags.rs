//! Each flag, seen from inside.

use crate::harness::{eventually, needs};
use crate::machine::Machine;
use serde_json::{Value, json};
use std::fs;

#[test]
fn variables_come_from_flags_files_and_the_caller() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let file = machine.dir.join("vars");
    fs::write(&file, "# nothing\n\nA=file\nB=file\nCALLERS\n").unwrap();
    let bad = machine.dir.join("bad");
    fs::write(&bad, "BAD NAME=3\n").unwrap();
    machine
        .run(&["--env-file", bad.to_str().unwrap()], "true")
        .failed_with("a name has no blanks");
    let flags = [
        "-e",
        "B=flag",
        "-e",
        "OWN",
        "-e",
        "NONE",
        "--env-file",
        file.to_str().unwrap(),
    ];
    let args = [&["image", "run"], &flags[..], &["busybox", "/bin/env"]].concat();
    let mut command = machine.command(&args);
    command
        .env("OWN", "own")
        .env("CALLERS", "too")
        .env_remove("NONE");
    let told = machine.finish(command).succeeded().stdout;
    for line in ["A=file", "B=flag", "OWN=own", "CALLERS=too"] {
        assert!(told.lines().any(|other| other == line), "{line}: {told}");
    }
    assert!(
        !told.contains("NONE") && !told.contains("BULKHEAD_STORE"),
        "{told}"
    );
}

#[test]
fn paths_of_the_host_are_seen_where_they_are_put() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    fs::create_dir(machine.dir.join("shared")).unwrap();
    fs::write(machine.dir.join("shared/file"), "host\n").unwrap();
    let script =
        "cat /in/deep/file; echo guest > /in/deep/new; cat /ro/file; touch /ro/x 2>&1 || true";
    let shared = machine.dir.join("shared");
    let readonly = format!("{}:/ro:ro", shared.display());
    let told = machine.told(&["-v", "./shared:/in/deep", "-v", &readonly], script);
    assert_eq!(told, "host\nhost\ntouch: /ro/x: Read-only file system\n");
    assert_eq!(fs::read_to_string(shared.join("new")).unwrap(), "guest\n");
    let bind = format!("type=bind,src={},dst=/in,readonly", shared.display());
    machine.told(&["--mount", &bind], "test -e /in/new && ! touch /in/x");
    machine
        .run(&["-v", "data:/in"], "true")
        .failed_with("no volumes by name");
    machine
        .run(&["-v", "./none:/in"], "true")
        .failed_with("no such file or directory");
    assert!(!machine.dir.join("none").exists());
}

#[test]
fn memory_that_is_a_file_system() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let script = "grep -E ' /(a|b) ' /proc/mounts | cut -d ' ' -f 2-4 | sort";
    let told = machine.told(
        &[
            "--tmpfs",
            "/a:size=1m",
            "--mount",
            "type=tmpfs,dst=/b,tmpfs-mode=0700",
        ],
        script,
    );
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[0].starts_with("/a tmpfs")
            && lines[0].contains("noexec")
            && lines[0].contains("size=1024k"),
        "{told}"
    );
    assert!(
        lines[1].starts_with("/b tmpfs") && lines[1].contains("mode=700"),
        "{told}"
    );
}

#[test]
fn a_user_a_directory_and_a_name() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let flags = [
        "-u",
        "web:26",
        "-w",
        "/some/where",
        "--hostname",
        "elsewhere",
    ];
    assert_eq!(
        machine.told(&flags, "id; pwd; hostname"),
        "uid=1000(web) gid=26(tape) groups=26(tape)\n/some/where\nelsewhere\n"
    );
    machine
        .run(&["-u", "nobody-here"], "true")
        .failed_with("has no \"nobody-here\"");
}

#[test]
fn limits_are_those_of_the_group() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let id = machine.id();
    let flags = [
        "--memory",
        "64m",
        "--cpus",
        "0.5",
        "--pids-limit",
        "20",
        "--cpu-shares",
        "512",
    ];
    let args = [
        &["image", "run", "-d", "--name", id],
        &flags[..],
        &["busybox", "/bin/sleep", "60"],
    ]
    .concat();
    assert_eq!(machine.call(&args).succeeded().stdout, format!("{id}\n"));
    let usage = machine.call(&["events", "--stats", id]).succeeded().stdout;
    let usage: Value = serde_json::from_str(&usage).unwrap();
    assert_eq!(usage["data"]["pids"]["limit"], 20, "{usage}");
    assert_eq!(
        usage["data"]["memory"]["usage"]["limit"],
        64 << 20,
        "{usage}"
    );
    assert_eq!(
        usage["data"]["memory"]["swap"]["limit"],
        128 << 20,
        "{usage}"
    );
    let config = machine
        .store()
        .join("containers")
        .join(id)
        .join("config.json");
    let config: Value = serde_json::from_slice(&fs::read(config).unwrap()).unwrap();
    let cpu = json!({ "quota": 50_000, "period": 100_000, "shares": 512 });
    assert_eq!(config["linux"]["resources"]["cpu"], cpu);
    let ulimit = machine.told(&["--ulimit", "nofile=100:200"], "ulimit -n; ulimit -Hn");
    assert_eq!(ulimit, "100\n200\n");
}

#[test]
fn a_read_only_root_has_volumes_that_can_be_written_to() {
    needs!(root, busybox, overlay);
    let machine = Machine::new();
    let config = json!({ "Volumes": { "/home": {}, "/dev": {}, "/proc": {}, "/proc/sys": {} } });
    machine.load("busybox", [crate::machine::base()], config);
    let script = "touch /x 2>&1 || touch /home/x /dev/shm/x && echo there";
    assert_eq!(
        machine.told(&["--read-only"], script),
        "touch: /x: Read-only file system\nthere\n"
    );
}

#[test]
fn capabilities_are_added_and_dropped() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let script = "grep CapEff /proc/self/status | cut -f 2";
    for (flags, wanted) in [
        (&["--cap-drop", "ALL"][..], "0000000000000000\n"),
        (
            &["--cap-drop", "all", "--cap-add", "net_raw"],
            "0000000000002000\n",
        ),
        (&["--cap-add", "CAP_NET_RAW"], "00000000800425fb\n"),
        (
            &["--cap-drop", "NET_RAW", "--cap-add", "NET_RAW"],
            "00000000800425fb\n",
        ),
        (
            &["--cap-drop", "KILL", "--cap-drop", "CAP_CHOWN"],
            "00000000800405da\n",
        ),
    ] {
        assert_eq!(machine.told(flags, script), wanted, "{flags:?}");
    }
    // Where all are added a drop has the last word.
    let all = machine.told(&["--cap-add", "ALL"], script);
    let flags = [
        "--cap-add",
        "ALL",
        "--cap-add",
        "CHOWN",
        "--cap-drop",
        "CHOWN",
    ];
    let less = machine.told(&flags, script);
    let bits = |text: &str| u64::from_str_radix(text.trim(), 16).unwrap();
    assert_eq!(bits(&less), bits(&all) & !1);
    machine
        .run(&["--cap-add", "everything"], "true")
        .failed_with("no such capability");
}

#[test]
fn the_filter_may_be_another_or_none() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let mode = "grep '^Seccomp:' /proc/self/status | cut -f 2; mkdir /made && echo made";
    assert_eq!(
        machine.told(&["--seccomp", "unconfined"], mode),
        "0\nmade\n"
    );
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" } ] });
    let file = machine.dir.join("profile.json");
    fs::write(&file, profile.to_string()).unwrap();
    let flags = ["--seccomp", file.to_str().unwrap()];
    assert_eq!(machine.told(&flags, &format!("{mode} || true")), "2\n");
    // As Docker has it, with conditions.
    let mut docker = profile;
    docker["archMap"] = json!([]);
    docker["syscalls"][0]["excludes"] = json!({ "caps": ["CAP_SYS_ADMIN"] });
    fs::write(&file, docker.to_string()).unwrap();
    assert_eq!(machine.told(&flags, &format!("{mode} || true")), "2\n");
    let flags = [&flags[..], &["--cap-add", "SYS_ADMIN"]].concat();
    assert_eq!(machine.told(&flags, mode), "2\nmade\n");
    docker["syscalls"][0]["excludes"] = json!({ "moon": "full" });
    fs::write(&file, docker.to_string()).unwrap();
    machine.run(&flags, "true").failed_with("no such condition");
}

#[test]
fn the_hosts_network_comes_with_its_names() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let script = "ls /sys/class/net | wc -l; readlink /proc/self/ns/net; cat /etc/hosts";
    let told = machine.told(&["--network", "host"], script);
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    assert!(told.contains(own.to_str().unwrap()), "{told}");
    let hosts = fs::read_to_string("/etc/hosts").unwrap();
    assert!(told.ends_with(&hosts), "{told}");
    let flags = ["--network", "host", "--hostname", "box"];
    assert_eq!(
        machine.told(&flags, "hostname; cat /etc/hostname"),
        "box\nbox\n"
    );
    // What the container writes there stays its own.
    machine.told(&["--network", "host"], "echo 1.2.3.4 other >> /etc/hosts");
    assert_eq!(fs::read_to_string("/etc/hosts").unwrap(), hosts);
}

#[test]
fn the_program_may_be_another() {
    needs!(root, busybox, overlay);
    let machine = Machine::new();
    let config = json!({ "Entrypoint": ["/bin/echo", "from"], "Cmd": ["image"] });
    machine.load("busybox", [crate::machine::base()], config);
    let run = |args: &[&str]| {
        machine
            .call(&[&["image", "run"], args].concat())
            .succeeded()
            .stdout
    };
    assert_eq!(run(&["busybox"]), "from image\n");
    assert_eq!(run(&["busybox", "-x", "--me"]), "from -x --me\n");
    assert_eq!(run(&["--entrypoint", "/bin/echo", "busybox", "me"]), "me\n");
}

#[test]
fn the_exit_code_is_the_programs_or_says_why_there_is_none() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let code = |args: &[&str]| machine.call(&[&["image", "run"], args].concat()).code;
    assert_eq!(code(&["busybox", "/bin/sh", "-c", "exit 7"]), 7);
    assert_eq!(code(&["busybox", "no-such-program"]), 127);
    assert_eq!(code(&["busybox", "/no/such/program"]), 127);
    assert_eq!(code(&["busybox", "/etc/passwd"]), 126);
    assert_eq!(code(&["busybox", "/etc"]), 126);
    assert_eq!(code(&["-d", "busybox", "no-such-program"]), 127);
    assert_eq!(code(&["--pull", "never", "not-here"]), 125);
    assert_eq!(code(&["--user", "nobody-here", "busybox"]), 125);
    assert!(machine.bundles().is_empty());
}

#[test]
fn what_is_not_there_is_refused_with_its_reason() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    for (flags, said) in [
        (
            &["-p", "80:80"][..],
            "--network host its ports are the host's",
        ),
        (&["--privileged"], "--cap-add"),
        (&["-dt"], "the other end of a detached container's terminal"),
        (
            &["-itd"],
            "the other end of a detached container's terminal",
        ),
        (&["--rm", "--keep"], "the other does not"),
        (&["--cpus", "8193"], "--cpus 8193: there are"),
        (
            &["-v", "./none:/x"],
            "no such file or directory on the host",
        ),
        (&["--network", "bridge"], "it is one of none, host"),
        (&["-w", "relative"], "not an absolute path"),
        (&["--memory", "lots"], "not a size"),
        (&["--label", "bulkhead.x=1"], "acted upon"),
        (&["--stop-signal", "WAVE"], "unknown signal"),
        (&["--name", "a/b"], "invalid container ID"),
    ] {
        let outcome = machine.run(flags, "true");
        assert_eq!(outcome.code, 125, "{outcome:?}");
        outcome.failed_with(said);
    }
}

#[test]
fn the_standard_input_is_passed_on_when_asked() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let file = machine.dir.join("input");
    fs::write(&file, "typed\n").unwrap();
    for (flags, wanted) in [(&[][..], ""), (&["-i"], "typed\n")] {
        let args = [&["image", "run"], flags, &["busybox", "/bin/cat"]].concat();
        let mut command = machine.command(&args);
        command.stdin(fs::File::open(&file).unwrap());
        assert_eq!(machine.finish(command).succeeded().stdout, wanted);
    }
    eventually("nothing is left", || machine.leftovers().is_empty());
}

#[test]
fn a_look_up_without_a_network_is_told_which_flag_gives_one() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let hint = "--network host gives it the host's";
    let failed = machine.run(&[], "nslookup example.com");
    assert_ne!(failed.code, 0);
    assert!(failed.stderr.contains(hint), "{failed:?}");
    for script in ["exit 3", "nslookup example.com; exit 0"] {
        let outcome = machine.run(&[], script);
        assert!(!outcome.stderr.contains(hint), "{script}: {outcome:?}");
    }
}

#[test]
fn it_is_asked_to_end_by_the_signal_of_its_image_or_its_caller() {
    needs!(root, busybox, overlay);
    let machine = Machine::new();
    let id = machine.id();
    let config = json!({ "StopSignal": "SIGQUIT" });
    machine.load("busybox", [crate::machine::base()], config);
    let script = "trap 'exit 3' QUIT; trap 'exit 4' USR1; trap 'exit 5' TERM; touch /ready; while :; do sleep 0.05; done";
    for (flags, code) in [(&[][..], "3\n"), (&["--stop-signal", "USR1"], "4\n")] {
        let args = [
            &["image", "run", "-d", "--name", id],
            flags,
            &["busybox", "/bin/sh", "-c", script],
        ];
        machine.call(&args.concat()).succeeded();
        eventually("it listens", || {
            machine
                .call(&["exec", id, "/bin/test", "-e", "/ready"])
                .code
                == 0
        });
        machine.call(&["stop", id]).succeeded();
        assert_eq!(machine.call(&["wait", id]).succeeded().stdout, code);
        machine.call(&["delete", id]).succeeded();
    }
}
