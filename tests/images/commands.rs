//! The commands, one by one.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use bulkhead::spec::Id;
use serde_json::Value;

use crate::ground::{Ground, image, layer};
use crate::harness::needs;
use crate::images::{Entry, Image, Packed};

#[test]
fn an_image_is_loaded_listed_and_inspected() {
    needs!(root);
    let ground = Ground::new("listed");
    assert_eq!(
        ground.load("app", image("web").tag(Some("1.2"))),
        "localhost/app:1.2"
    );
    let list = ground.list();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["name"], "localhost/app:1.2");
    let size = "the base".len() + "web".len();
    assert_eq!(list[0]["size"], size);

    let table = ground.call(&["ls"]).succeeded().stdout;
    let words: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    let id = list[0]["id"].as_str().unwrap();
    assert_eq!(words[..3], ["localhost/app", "1.2", &id[7..19]]);
    assert!(table.lines().nth(1).unwrap().ends_with("11B"), "{table}");
    assert_eq!(
        ground.call(&["ls", "-q"]).succeeded().stdout,
        format!("{}\n", &id[7..19])
    );
    let whole = ground
        .call(&["ls", "-q", "--no-trunc", "localhost/app"])
        .succeeded();
    assert_eq!(whole.stdout, format!("{id}\n"));
    assert_eq!(ground.call(&["ls", "-q", "other"]).succeeded().stdout, "");

    for text in ["localhost/app:1.2", id, &id[7..13]] {
        let shown = ground.call(&["inspect", text]).succeeded().stdout;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let shown = &shown[0];
        assert_eq!(shown["Id"], id);
        assert_eq!(shown["RepoTags"][0], "localhost/app:1.2");
        assert_eq!(shown["Config"]["Cmd"][0], "web");
        assert_eq!(shown["RootFS"]["Layers"].as_array().unwrap().len(), 2);
        let tree = shown["Layers"][1]["Tree"].as_str().unwrap();
        assert_eq!(
            std::fs::read_to_string(format!("{tree}/etc/web")).unwrap(),
            "web"
        );
    }
    ground
        .call(&["inspect", "other"])
        .failed_with("other: no such image here");
    ground.verifies();
}

#[test]
fn a_name_goes_to_the_image_that_has_it_last() {
    needs!(root);
    let ground = Ground::new("names");
    let [one, two] = ["one", "two"].map(|word| ground.load(word, image(word)));
    ground.call(&["tag", &one, "x:1"]).succeeded();
    ground.call(&["tag", &two, "x:1"]).succeeded();
    assert_eq!(ground.names(), [&one, &two, "docker.io/library/x:1"]);
    let shown = ground.call(&["inspect", "x:1"]).succeeded().stdout;
    assert!(
        shown.contains("\"two\"") && !shown.contains("\"one\""),
        "{shown}"
    );
    ground.call(&["tag", &two, "Bad"]).failed_with("lower case");
    ground
        .call(&["tag", "none", "y"])
        .failed_with("none: no such image here");
}

#[test]
fn an_image_goes_with_its_last_name() {
    needs!(root);
    let ground = Ground::new("removed");
    let one = ground.load("one", image("one"));
    let only_one = ground.snapshot();
    let two = ground.load("two", image("two"));
    ground.call(&["tag", &two, "x"]).succeeded();
    ground.call(&["rm", "x"]).succeeded();
    assert_eq!(ground.names(), [&*one, &two]);
    let removed = ground.call(&["rm", &two]).succeeded().stdout;
    assert_eq!(removed.trim(), two);
    // What both had is there for the other.
    let mut left = ground.snapshot();
    left.retain(|path, _| !path.ends_with("index.json"));
    assert!(
        left.iter()
            .all(|(path, text)| only_one.get(path) == Some(text))
    );
    assert_eq!(left.len() + 1, only_one.len());

    let id = ground.call(&["ls", "-q"]).succeeded().stdout;
    ground.call(&["tag", &one, "y"]).succeeded();
    ground.call(&["rm", id.trim()]).failed_with("several names");
    let ids = [id.trim(), id.trim()];
    ground.call(&["rm", "--force", ids[0], ids[1]]).succeeded();
    assert!(ground.names().is_empty());
    ground.call(&["rm", &one]).failed_with("no such image here");
    let files = ground.snapshot();
    assert!(
        files
            .keys()
            .all(|path| !path.to_string_lossy().contains("sha256/")),
        "{files:#?}"
    );
}

#[test]
fn an_image_that_a_container_uses_stays() {
    needs!(root);
    let ground = Ground::new("used");
    let name = ground.load("one", image("one"));
    let store = ground.store();
    let state = ground.path("state");
    std::fs::create_dir_all(state.join("web")).unwrap();
    let held = store.resolve(&name).unwrap();
    let using = store.using().unwrap();
    let id = Id::new("web").unwrap();
    drop(store.make_container(&using, &id, &held, &state).unwrap());
    drop(using);

    let said = "is used by container \"web\"; --force removes its name only";
    ground.call(&["rm", &name]).failed_with(said);
    let top = ground.top(&name);
    ground.call(&["rm", "-f", &name]).succeeded();
    ground.call(&["prune"]).succeeded();
    assert!(top.is_dir() && ground.names().is_empty());
    std::fs::remove_dir(state.join("web")).unwrap();
    let freed = ground
        .call(&["prune", "--format", "json"])
        .succeeded()
        .stdout;
    let freed: Value = serde_json::from_str(&freed).unwrap();
    assert_eq!(freed["containers"][0], "web");
    assert_eq!((freed["layers"].as_u64(), top.exists()), (Some(2), false));
}

#[test]
fn prune_says_what_it_frees() {
    needs!(root);
    let ground = Ground::new("pruned");
    ground.call(&["prune"]).succeeded();
    let name = ground.load("one", image("one"));
    let store = ground.store();
    let using = store.using().unwrap();
    ground.call(&["rm", &name]).succeeded();
    drop(using);
    let said = ground.call(&["prune"]).succeeded().stdout;
    assert!(said.starts_with("removed 4 blobs, 2 layers, "), "{said}");
    assert_eq!(
        ground.call(&["prune"]).succeeded().stdout,
        "removed 0 blobs, 0 layers, 0 containers' files, 0 unfinished; freed 0B\n"
    );
}

#[test]
fn what_the_store_has_is_neither_fetched_nor_unpacked_again() {
    needs!(root);
    let ground = Ground::new("again");
    ground.load("one", image("one"));
    let place = ground.layout("two", image("two"));
    let events = |ground: &Ground| {
        let told = ground
            .call(&["pull", "--format", "json", &place])
            .succeeded();
        let mut kinds: Vec<String> = told
            .answers()
            .iter()
            .map(|event| event["event"].as_str().unwrap().into())
            .collect();
        kinds.sort();
        kinds
    };
    let first = [
        "came",
        "fetched",
        "fetching",
        "known",
        "taken",
        "unpacked",
        "unpacking",
    ];
    assert_eq!(events(&ground), first);
    assert_eq!(events(&ground), ["known", "known", "taken"]);
}

#[test]
fn each_way_to_be_told_has_its_stream() {
    needs!(root);
    let ground = Ground::new("told");
    let place = ground.layout("one", image("one"));
    let quiet = ground.call(&["load", "-q", &place]).succeeded();
    assert_eq!(
        (&*quiet.stdout, &*quiet.stderr),
        ("localhost/one:latest\n", "")
    );
    ground.call(&["rm", "localhost/one"]).succeeded();
    let people = ground.call(&["load", &place]).succeeded();
    assert_eq!(people.stdout, "localhost/one:latest\n");
    assert!(people.stderr.contains("unpacked"), "{}", people.stderr);
    let named = ground
        .call(&["load", "-q", "--name", "own:5", &place])
        .succeeded();
    assert_eq!(named.stdout, "docker.io/library/own:5\n");
}

#[test]
fn a_layer_that_leans_on_those_below_has_what_it_takes_from_them() {
    needs!(root);
    let ground = Ground::new("leaning");
    let base = Packed::gzip([
        Entry::dir("srv/").mode(0o700).owner(7, 8),
        Entry::file("srv/file", "below").owner(7, 8),
    ]);
    // Neither the directory nor the target of the link is in the layer.
    let upper = Packed::gzip([
        Entry::file("srv/new", "above"),
        Entry::hardlink("srv/link", "srv/file"),
    ]);
    let name = ground.load("one", Image::of([base, upper]));
    let top = ground.top(&name);
    let srv = std::fs::metadata(top.join("srv")).unwrap();
    assert_eq!(
        (srv.permissions().mode() & 0o7777, srv.uid(), srv.gid()),
        (0o700, 7, 8)
    );
    assert_eq!(
        std::fs::read_to_string(top.join("srv/link")).unwrap(),
        "below"
    );
    ground.verifies();
    // On another base it is another layer.
    let other = Packed::gzip([
        Entry::dir("srv/").mode(0o755),
        Entry::file("srv/file", "other"),
    ]);
    let upper = Packed::gzip([
        Entry::file("srv/new", "above"),
        Entry::hardlink("srv/link", "srv/file"),
    ]);
    let second = ground.load("two", Image::of([other, upper]));
    assert_eq!(
        std::fs::read_to_string(ground.top(&second).join("srv/link")).unwrap(),
        "other"
    );
    assert_eq!(
        std::fs::read_to_string(top.join("srv/link")).unwrap(),
        "below"
    );
    ground.verifies();
}

#[test]
fn one_layer_may_be_in_an_image_twice() {
    needs!(root);
    let ground = Ground::new("twice");
    let name = ground.load(
        "one",
        Image::of([layer("a", "a"), layer("b", "b"), layer("a", "a")]),
    );
    let store = ground.store();
    let layers = store.layers(&store.resolve(&name).unwrap()).unwrap();
    assert_eq!(layers.len(), 3);
    assert_eq!(layers[0], layers[2]);
    ground.verifies();
}
