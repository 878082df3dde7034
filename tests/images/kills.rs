//! Whoever is killed leaves nothing that looks finished.

use std::thread;
use std::time::{Duration, Instant};

use crate::ground::{Ground, layer};
use crate::harness::{needs, repetitions};
use crate::images::Image;

fn large() -> Image {
    let text: String = (0..400_000_u32)
        .map(|n| char::from(b'a' + (n % 251 % 26) as u8))
        .collect();
    Image::of((0..4).map(|n| layer(&format!("file{n}"), &text[n..])))
}

#[test]
fn a_load_that_was_killed_is_done_again() {
    needs!(root);
    let ground = Ground::new("killed");
    let place = ground.layout("one", large());
    let begin = Instant::now();
    ground.call(&["load", "-q", &place]).succeeded();
    let whole = begin.elapsed();
    let mut unfinished = 0;
    let count = repetitions(20, 100);
    for number in 0..count {
        ground.call(&["rm", "localhost/one"]).succeeded();
        let mut child = ground.start(&["load", "-q", &place]);
        // Over all of its time, in an order that is no order.
        let part = u32::try_from(number * 37 % count).unwrap();
        thread::sleep(whole * part / u32::try_from(count).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        unfinished += usize::from(ground.names().is_empty());
        ground.verifies();
        ground.call(&["load", "-q", &place]).succeeded();
        ground.verifies();
        let dead = std::fs::read_dir(ground.store_path().join("tmp"))
            .unwrap()
            .count();
        assert_eq!(dead, 0, "kill {number}");
    }
    assert!(
        unfinished > count / 10,
        "{unfinished} of {count} were killed in time"
    );
}

#[test]
fn prune_removes_what_the_killed_have_left() {
    needs!(root);
    let ground = Ground::new("dead");
    let place = ground.layout("one", large());
    ground.store();
    let clean = ground.snapshot();
    let tmp = ground.store_path().join("tmp");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let mut child = ground.start(&["load", "-q", &place]);
        while child.try_wait().unwrap().is_none() && std::fs::read_dir(&tmp).unwrap().count() == 0 {
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if std::fs::read_dir(&tmp).unwrap().count() > 0 {
            break;
        }
        assert!(Instant::now() < deadline, "never killed in time");
        ground.call(&["rm", "localhost/one"]);
    }
    let freed = ground.call(&["prune", "--format", "json"]).succeeded();
    assert_ne!(freed.answer()["unfinished"], 0);
    assert_eq!(ground.snapshot(), clean);
}
