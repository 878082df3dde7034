use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::spec::container::Hook;
use crate::spec::unit::{Manager, Unit};
use crate::state::{End, Exit, Identity, LaterHooks, Phase, Time};

fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().join("a/root"));
    (dir, store)
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn moment() -> Time {
    "2026-01-02T15:04:05.5Z".parse().unwrap()
}

fn record(name: &str) -> Record {
    Record {
        version: 1,
        id: id(name),
        phase: Phase::Created,
        pid: Some(7),
        start_time: Some(u64::MAX),
        monitor: Some(Identity {
            pid: 8,
            start_time: 9,
        }),
        bundle: "/b".into(),
        rootfs: "/b/rootfs".into(),
        created: moment(),
        oci_version: "1.2.0".into(),
        annotations: BTreeMap::from([("k\n\"".into(), "v".into())]),
        group_paths: vec!["/sys/fs/cgroup/x".into()],
        unit: Some(Unit {
            manager: Manager::User,
            slice: "user.slice".into(),
            name: "bulkhead-x.scope".into(),
        }),
        rdt_groups: None,
        hooks: LaterHooks {
            poststart: Vec::new(),
            poststop: vec![Hook {
                path: "/bin/h".into(),
                args: vec!["h".into(), "1".into()],
                env: Vec::new(),
                timeout: Some(Duration::from_secs(3)),
            }],
        },
        agent: None,
        keeps_keyring: false,
        image_store: None,
        is_transient: false,
        exit: Some(Exit {
            end: End::Signal(9),
            oom: true,
            at: moment(),
        }),
        owner: 0,
        late_steps: Vec::new(),
        late_from: 0,
        streams: Vec::new(),
        ends_with_runtime: false,
    }
}

#[test]
fn a_record_is_read_back_as_it_was_saved() {
    let (_dir, store) = store();
    let slot = store.reserve(&id("a")).unwrap();
    assert!(matches!(slot.record(), Err(Error::Missing)));
    let mut told = record("a");
    slot.save(&told).unwrap();
    assert_eq!(slot.record().unwrap(), told);
    told.phase = Phase::Stopped;
    told.exit = None;
    slot.save(&told).unwrap();
    assert_eq!(store.load(&id("a")).unwrap(), told);
}

#[test]
fn only_the_owner_reads_the_root_and_a_record() {
    let (_dir, store) = store();
    let slot = store.reserve(&id("a")).unwrap();
    slot.save(&record("a")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(store.root()), 0o1700);
    assert_eq!(mode(slot.path()), 0o711);
    assert_eq!(mode(&slot.path().join("state.json")), 0o600);
}

#[test]
fn a_name_that_is_taken_is_refused_until_it_is_removed() {
    let (_dir, store) = store();
    let slot = store.reserve(&id("a")).unwrap();
    assert!(
        matches!(store.reserve(&id("a")), Err(Error::Exists)),
        "while it is being made"
    );
    slot.save(&record("a")).unwrap();
    slot.unlock();
    assert!(matches!(store.reserve(&id("a")), Err(Error::Exists)));
    store.open(&id("a")).unwrap().remove().unwrap();
    assert!(matches!(store.load(&id("a")), Err(Error::Missing)));
    assert!(matches!(store.open(&id("a")), Err(Error::Missing)));
    store.reserve(&id("a")).unwrap();
}

#[test]
fn what_a_killed_creator_left_is_taken_over_or_removed() {
    let (_dir, store) = store();
    store.reserve(&id("a")).unwrap().unlock();
    assert!(store.root().join("a").is_dir());
    let again = store.reserve(&id("a")).unwrap();
    again.unlock();
    let left = store.open(&id("a")).unwrap();
    assert!(matches!(left.record(), Err(Error::Missing)));
    left.remove().unwrap();
    assert!(!store.root().join("a").exists());
}

#[test]
fn a_half_written_new_record_does_not_stop_the_next_writer() {
    let (_dir, store) = store();
    let slot = store.reserve(&id("a")).unwrap();
    fs::write(slot.path().join(".state.json.new"), "{\"ver").unwrap();
    slot.save(&record("a")).unwrap();
    assert_eq!(slot.record().unwrap(), record("a"));
    fs::write(slot.path().join(".state.json.new"), "{\"ver").unwrap();
    slot.remove().unwrap();
    assert!(!store.root().join("a").exists());
}

#[test]
fn of_many_creators_one_wins() {
    let (_dir, store) = store();
    for round in 0..50 {
        let name = id(&format!("c{round}"));
        let winners = AtomicUsize::new(0);
        let barrier = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    match store.reserve(&name) {
                        Ok(slot) => {
                            slot.save(&record(name.as_str())).unwrap();
                            winners.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(Error::Exists) => {}
                        Err(e) => panic!("{e}"),
                    }
                });
            }
        });
        assert_eq!(winners.into_inner(), 1, "round {round}");
    }
}

#[test]
fn creators_and_removers_of_one_name_never_hold_it_together() {
    let (_dir, store) = store();
    let name = id("a");
    let held = AtomicBool::new(false);
    let turns = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (store, name, held, turns) = (&store, &name, &held, &turns);
            scope.spawn(move || {
                for _ in 0..300 {
                    let slot = if worker % 2 == 0 {
                        store.reserve(name)
                    } else {
                        store.open(name)
                    };
                    let Ok(slot) = slot else { continue };
                    assert!(!held.swap(true, Ordering::SeqCst), "two holders");
                    turns.fetch_add(1, Ordering::Relaxed);
                    slot.save(&record("a")).unwrap();
                    held.store(false, Ordering::SeqCst);
                    slot.remove().unwrap();
                }
            });
        }
    });
    assert!(turns.into_inner() > 0);
    assert!(!store.root().join("a").exists());
}

#[test]
fn a_reader_never_sees_half_a_record() {
    let (_dir, store) = store();
    let slot = store.reserve(&id("a")).unwrap();
    let mut long = record("a");
    long.oci_version = "x".repeat(20_000);
    slot.save(&long).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..300 {
                slot.save(&record("a")).unwrap();
                slot.save(&long).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            store.load(&id("a")).unwrap();
        }
    });
}

#[test]
fn an_open_waits_for_the_holder() {
    let (_dir, store) = store();
    let slot = store.reserve(&id("a")).unwrap();
    let saved = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let late = store.open(&id("a")).unwrap();
            assert!(saved.load(Ordering::SeqCst), "opened before it was let go");
            late.record().unwrap();
        });
        std::thread::sleep(Duration::from_millis(30));
        slot.save(&record("a")).unwrap();
        saved.store(true, Ordering::SeqCst);
        slot.unlock();
    });
}

#[test]
fn a_damaged_record_is_named_with_its_cause() {
    let (_dir, store) = store();
    let slot = store.reserve(&id("a")).unwrap();
    slot.save(&record("a")).unwrap();
    let file = slot.path().join("state.json");
    let whole = fs::read_to_string(&file).unwrap();
    for (case, text) in [
        ("empty", String::new()),
        ("half", whole[..whole.len() / 2].into()),
        ("garbage", "\0\u{1}garbage".into()),
        ("another document", "{\"ociVersion\":\"1.0.0\"}".into()),
        ("a bad id", whole.replace("\"id\":\"a\"", "\"id\":\"../a\"")),
        (
            "a bad time",
            whole.replace("\"created\":\"2", "\"created\":\"x"),
        ),
    ] {
        fs::write(&file, text).unwrap();
        let error = store.load(&id("a")).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Damaged { .. }), "{case}: {text}");
        let named = format!("{}: not the record of a container: ", file.display());
        assert!(text.starts_with(&named), "{case}: {text}");
    }
    for later in [
        whole.replace("\"version\":1", "\"version\":2"),
        "{\"version\":2}".into(),
    ] {
        fs::write(&file, later).unwrap();
        let error = slot.record().unwrap_err();
        assert!(matches!(error, Error::Version { found: 2, .. }), "{error}");
    }
}

#[test]
fn what_is_not_a_plain_file_is_not_read_as_a_record() {
    let (_dir, store) = store();
    let slot = store.reserve(&id("a")).unwrap();
    let file = slot.path().join("state.json");
    let target = store.root().join("elsewhere");
    fs::write(&target, "{}").unwrap();
    symlink(&target, &file).unwrap();
    assert!(matches!(slot.record(), Err(Error::Call { .. })), "a link");
    fs::remove_file(&file).unwrap();
    nix::unistd::mkfifo(&file, Mode::from_bits_truncate(0o600)).unwrap();
    assert!(matches!(slot.record(), Err(Error::Call { .. })), "a fifo");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(
        matches!(slot.record(), Err(Error::Call { .. })),
        "a directory"
    );
}

#[test]
fn remove_touches_nothing_but_its_own_entries() {
    let (_dir, store) = store();
    let target = store.root().join("elsewhere");
    let slot = store.reserve(&id("a")).unwrap();
    fs::write(&target, "kept").unwrap();
    let path = slot.path().to_owned();
    symlink(&target, path.join("gate")).unwrap();
    fs::write(path.join("precious"), "kept").unwrap();
    let error = slot.remove().unwrap_err().to_string();
    assert!(
        error.ends_with("/a: remove the directory: directory not empty"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(path.join("precious")).unwrap(), "kept");
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept");

    fs::remove_file(path.join("precious")).unwrap();
    fs::create_dir_all(path.join("state.json/deep")).unwrap();
    assert!(store.open(&id("a")).unwrap().remove().is_err());
    assert!(path.join("state.json/deep").is_dir());
}

#[test]
fn remove_leaves_a_directory_that_took_the_place_of_its_own() {
    let (_dir, store) = store();
    let slot = store.reserve(&id("a")).unwrap();
    fs::rename(store.root().join("a"), store.root().join("b")).unwrap();
    fs::create_dir(store.root().join("a")).unwrap();
    slot.remove().unwrap();
    assert!(store.root().join("a").is_dir());
}

#[test]
fn a_link_is_no_container() {
    let (_dir, store) = store();
    store.reserve(&id("a")).unwrap().save(&record("a")).unwrap();
    symlink("a", store.root().join("b")).unwrap();
    for error in [
        store.open(&id("b")).unwrap_err(),
        store.load(&id("b")).unwrap_err(),
        store.reserve(&id("b")).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Call { .. }), "{error}");
    }
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn the_list_has_every_container_in_order_and_the_damaged_too() {
    let (_dir, store) = store();
    assert!(store.list().unwrap().is_empty(), "no root yet");
    for name in ["b", "a", "c"] {
        store
            .reserve(&id(name))
            .unwrap()
            .save(&record(name))
            .unwrap();
    }
    fs::write(store.root().join("c/state.json"), "").unwrap();
    fs::write(store.root().join("file"), "").unwrap();
    fs::create_dir(store.root().join("not an id")).unwrap();
    let list = store.list().unwrap();
    let names: Vec<_> = list.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(list[0].1.is_ok() && list[1].1.is_ok());
    assert!(matches!(list[2].1, Err(Error::Damaged { .. })));
}

#[test]
fn the_lock_ends_with_the_slot_though_a_child_holds_a_copy() {
    let (_dir, store) = store();
    let slot = store.reserve(&id("a")).unwrap();
    slot.save(&record("a")).unwrap();
    let copy = slot.lock_fd().try_clone_to_owned().unwrap();
    drop(slot);
    let root = store.open_root().unwrap();
    store
        .lock(root, &id("a"), FlockArg::LockExclusiveNonblock)
        .unwrap();
    drop(copy);
}
