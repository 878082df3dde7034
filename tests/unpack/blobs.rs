//! Blobs that are not what their descriptors say.

use bulkhead::image::Digest;
use bulkhead::image::documents::Layer;
use bulkhead::image::layer::{Fault, Form};

use crate::harness::needs;
use crate::images::{Entry, Packed, Packing, Tarball, skippable};
use crate::unpacked::{Ground, described, policy};

struct Case {
    ground: Ground,
    count: u32,
}

impl Case {
    fn fault(&mut self, blob: &[u8], layer: &Layer) -> Fault {
        self.count += 1;
        let name = format!("tree-{}", self.count);
        let error = self
            .ground
            .unpack_as(&name, blob, layer, &policy(Form::Overlay))
            .unwrap_err();
        assert_eq!(error.layer, layer.blob.digest);
        error.fault
    }
}

/// Larger than all buffers, so that an end is seen while the tree is being written.
fn packed(packing: Packing) -> Packed {
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    let content: Vec<u8> = noise.take(1 << 18).collect();
    let entries = (0..9).map(|n| Entry::file(format!("f{n}"), &content));
    Packed::new(packing, Tarball::of(entries).end())
}

#[test]
fn a_blob_is_what_its_descriptor_says_to_the_last_byte() {
    needs!(root);
    let mut case = Case {
        ground: Ground::new("blobs"),
        count: 0,
    };
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let good = packed(packing);
        let layer = described(&good);

        let mut flipped = good.blob.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let fault = case.fault(&flipped, &layer);
        assert!(
            matches!(fault, Fault::Digest { .. }),
            "{packing:?}: {fault}"
        );

        let fault = case.fault(&good.blob[..good.blob.len() - 1], &layer);
        assert!(
            matches!(fault, Fault::Shorter { .. }),
            "{packing:?}: {fault}"
        );
        let fault = case.fault(&good.blob[..good.blob.len() / 2], &layer);
        assert!(
            matches!(fault, Fault::Shorter { .. }),
            "{packing:?}: {fault}"
        );

        let longer = [&good.blob[..], b"more"].concat();
        let fault = case.fault(&longer, &layer);
        assert!(
            matches!(fault, Fault::Longer { .. }),
            "{packing:?}: {fault}"
        );

        let mut other = layer.clone();
        other.blob.digest = Digest::of(b"another blob");
        let fault = case.fault(&good.blob, &other);
        assert!(
            matches!(fault, Fault::Digest { .. }),
            "{packing:?}: {fault}"
        );

        let mut other = layer.clone();
        other.diff_id = Digest::of(b"another archive");
        let fault = case.fault(&good.blob, &other);
        assert!(
            matches!(fault, Fault::DiffId { .. }),
            "{packing:?}: {fault}"
        );
    }
}

/// What is rightly described, and badly packed.
#[test]
fn a_stream_that_is_cut_or_followed_by_something_is_refused() {
    needs!(root);
    let mut case = Case {
        ground: Ground::new("streams"),
        count: 0,
    };
    let mut fault = |good: &Packed, blob: Vec<u8>| {
        let bad = Packed {
            blob,
            ..good.clone()
        };
        case.fault(&bad.blob, &described(&bad)).to_string()
    };
    let gzip = packed(Packing::Gzip);
    let blob = &gzip.blob;
    let no_trailer = blob[..blob.len() - 8].to_vec();
    assert_eq!(fault(&gzip, no_trailer), "the gzip stream has no trailer");
    let half_a_trailer = blob[..blob.len() - 3].to_vec();
    assert_eq!(
        fault(&gzip, half_a_trailer),
        "the gzip stream has no trailer"
    );
    assert_eq!(
        fault(&gzip, blob[..blob.len() / 2].to_vec()),
        "the gzip stream is cut short"
    );
    assert_eq!(fault(&gzip, Vec::new()), "the gzip stream is cut short");
    let behind = [&blob[..], &[0; 512]].concat();
    assert_eq!(
        fault(&gzip, behind),
        "something that is not gzip follows the gzip stream"
    );
    let mut wrong = blob.clone();
    let end = wrong.len() - 6;
    wrong[end] ^= 0xff;
    assert!(fault(&gzip, wrong).contains("trailer's checksum"));

    let zstd = packed(Packing::Zstd);
    let blob = &zstd.blob;
    assert_eq!(
        fault(&zstd, blob[..blob.len() - 1].to_vec()),
        "the zstd stream is cut short"
    );
    let behind = [&blob[..], b"garbage"].concat();
    assert_eq!(
        fault(&zstd, behind),
        "something that is not zstd follows the zstd stream"
    );
    let cut = [&blob[..], &skippable(&[0; 100])[..50]].concat();
    assert_eq!(fault(&zstd, cut), "the zstd stream is cut short");

    let named = Packed {
        packing: Packing::Gzip,
        ..zstd.clone()
    };
    assert_eq!(fault(&named, zstd.blob.clone()), "not a gzip stream");
    let named = Packed {
        packing: Packing::Zstd,
        ..gzip.clone()
    };
    assert_eq!(fault(&named, gzip.blob.clone()), "not a zstd stream");
    let plain = packed(Packing::Plain);
    let named = Packed {
        packing: Packing::Plain,
        ..gzip.clone()
    };
    assert!(fault(&named, gzip.blob.clone()).contains("checksum is wrong"));
    assert!(fault(&plain, plain.blob[..plain.blob.len() / 2].to_vec()).contains("cut short"));
}
