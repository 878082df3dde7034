//! Bytes to a tree: nothing outside of the directory changes. The first byte chooses the form.
#![no_main]

#[path = "seeds.rs"]
mod seeds;

use std::fs::{self, File, Permissions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bulkhead::image::layer::{self, Devices, Form, Limits, Owners, Unpacking};
use bulkhead::sys::sweep;
use libfuzzer_sys::fuzz_target;

/// What an escape would meet: files, directories and a link, beside the tree.
struct Ground {
    place: PathBuf,
    before: Vec<String>,
}

static GROUND: OnceLock<Ground> = OnceLock::new();

fn ground() -> &'static Ground {
    GROUND.get_or_init(|| {
        let scratch = std::env::var_os("BULKHEAD_SCRATCH").expect("run by tests/fuzz/run");
        let place = Path::new(&scratch).join(format!("ground-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        fs::create_dir(place.join("tree")).unwrap();
        for name in ["a", "b", "etc", "usr"] {
            fs::create_dir(place.join(name)).unwrap();
            fs::write(place.join(name).join("file"), b"outside").unwrap();
        }
        fs::write(place.join("file"), b"outside").unwrap();
        symlink("etc", place.join("link")).unwrap();
        fs::set_permissions(place.join("b"), Permissions::from_mode(0o711)).unwrap();
        nix::sys::stat::umask(nix::sys::stat::Mode::empty());
        let before = outside(&place);
        Ground { place, before }
    })
}

/// All there is of what lies beside the tree.
fn outside(place: &Path) -> Vec<String> {
    let mut seen = Vec::new();
    let mut ahead = vec![place.to_path_buf()];
    while let Some(dir) = ahead.pop() {
        let mut names: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        names.sort();
        for path in names {
            let stat = fs::symlink_metadata(&path).unwrap();
            let is_tree = path.file_name().is_some_and(|name| name == "tree") && dir == place;
            if is_tree {
                continue;
            }
            seen.push(format!(
                "{} {:o} {} {} {} {} {} {} {}",
                path.display(),
                stat.mode(),
                stat.uid(),
                stat.gid(),
                stat.size(),
                stat.nlink(),
                stat.mtime(),
                stat.mtime_nsec(),
                stat.ctime_nsec(),
            ));
            if stat.is_dir() {
                ahead.push(path);
            }
        }
    }
    seen
}

fuzz_target!(init: seeds::write(|number| vec![u8::try_from(number % 3).expect("less than 3")]), |bytes: &[u8]| {
    let Some((first, archive)) = bytes.split_first() else {
        return;
    };
    let ground = ground();
    let how = Unpacking {
        form: [Form::Overlay, Form::UserOverlay, Form::Flat][usize::from(first % 3)],
        limits: Limits { size: 1 << 30, entries: 10_000, ratio: None },
        owners: if first & 0x80 == 0 { Owners::AsWritten } else { Owners::One },
        devices: Devices::Make,
    };
    let tree = File::open(ground.place.join("tree")).unwrap();
    let _ = layer::write_tree(archive, tree.as_fd(), &how, true);
    assert_eq!(outside(&ground.place), ground.before);
    sweep::empty(OwnedFd::from(tree)).unwrap();
});
