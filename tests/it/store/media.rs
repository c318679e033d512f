//! Media: whole under its key or not there at all, and open to whoever has a link.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use domain::catalog::Kind;
use domain::id::JobId;
use domain::media::{Details, Media};
use futures_util::{FutureExt, StreamExt, join, stream};
use harness::World;
use reqwest::StatusCode;
use sha2::{Digest, Sha256};
use shared::store::media::{CopyError, MEDIA_BYTES_MAX, MediaStore, PART_BYTES, attempt_media_key};
use tempfile::TempDir;

use super::{account, bucket_name};

const KEY: &str = "media/acct_anna/job_a/1/video.mp4";
/// The film's lengths here and their SHA-256, computed elsewhere.
const SMALL: usize = 1_000;
const SMALL_SHA256: &str = "70105d4dfcb3a42ce273388ca9885650e844c342140aea7e64c99860e5f8c197";
const LARGE: usize = 2 * PART_BYTES + 12_345;
const LARGE_SHA256: &str = "447649394fb03b78b1c544683897a6e55595f1d2309d86f7f19669b4612f2f6e";
/// Long enough to have an upload open when it ends.
const LONG: usize = PART_BYTES + 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_film_is_put_with_one_call_and_described_right() {
    let room = Room::new().await;
    let media = room.copy(film(SMALL), Some(SMALL as u64)).await.unwrap();
    assert_eq!(media, described(SMALL as u64, SMALL_SHA256));
    assert_eq!(room.world.wire.calls(), ["S3.PUT"]);
    assert_eq!(room.object().await, Some((film(SMALL), "video/mp4".to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_film_goes_in_parts_and_is_whole() {
    let room = Room::new().await;
    let media = room.copy(film(LARGE), Some(LARGE as u64)).await.unwrap();
    assert_eq!(media, described(LARGE as u64, LARGE_SHA256));
    assert_eq!(room.world.wire.calls(), ["S3.POST", "S3.PUT", "S3.PUT", "S3.PUT", "S3.POST"]);
    let (bytes, content_type) = room.object().await.unwrap();
    assert!(bytes == film(LARGE), "the object is not the film");
    assert_eq!(content_type, "video/mp4");
    assert!(!room.files().iter().any(|name| name.contains("upload")), "{:?}", room.files());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_just_short_of_a_part_is_put_and_a_film_of_one_part_is_a_part() {
    for (bytes, length, calls) in
        [(PART_BYTES - 1, Some(PART_BYTES as u64 - 1), 1), (PART_BYTES, Some(PART_BYTES as u64), 3)]
    {
        let room = Room::new().await;
        let media = room.copy(film(bytes), length).await.unwrap();
        assert_eq!(media.bytes, bytes as u64);
        assert_eq!(room.world.wire.calls().len(), calls, "{bytes}");
        let (stored, _) = room.object().await.unwrap();
        assert!(stored == film(bytes), "{bytes}: the object is not the film");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_content_and_not_its_announcement_says_what_media_it_is() {
    let room = Room::new().await;
    let still = png();
    let length = Some(still.len() as u64);
    let media = room.copy_as(Kind::Image, still.clone(), length).await.unwrap();
    assert_eq!(media.content_type, "image/png");
    assert_eq!((media.details.width, media.details.height), (Some(640), Some(480)));
    assert_eq!(room.store.find(KEY).await.unwrap(), Some(media));
    let before = room.files();

    let page = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>".to_vec();
    let zeros = [&b"\0\0\0\x18ftypisom\0\0\x02\0isommp42"[..], &[0; 1_000]].concat();
    let longer = [film(SMALL), b"more".to_vec()].concat();
    for (kind, content) in [
        (Kind::Video, Vec::new()),
        (Kind::Video, vec![0]),
        (Kind::Video, b"ID3 and sound".to_vec()),
        (Kind::Video, page.clone()),
        (Kind::Image, page),
        (Kind::Video, vec![b'x'; PART_BYTES + 1]),
        (Kind::Video, still.clone()),
        (Kind::Image, film(SMALL)),
        (Kind::Video, zeros),
        (Kind::Video, film(SMALL)[..600].to_vec()),
        (Kind::Video, longer),
        (Kind::Video, film(511)),
        (Kind::Image, b"BM: the quota of this account is used up, try later".to_vec()),
        (Kind::Image, b"GIF89a/*<script>alert(1)</script>".to_vec()),
        (Kind::Image, [&b"\xff\xd8\xff\xe0 try later"[..], &[b' '; 200]].concat()),
        (Kind::Image, still[..still.len() - 4].to_vec()),
    ] {
        room.world.wire.reset();
        let length = Some(content.len() as u64);
        let refused = room.copy_as(kind, content, length).await.unwrap_err();
        assert!(matches!(refused, CopyError::NotMedia(_)), "{refused:?}");
        assert_eq!(room.world.wire.effects(), 0);
    }
    assert_eq!(room.files(), before);
}

/// A whole one, by its chunks.
fn png() -> Vec<u8> {
    let header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0sum!";
    [&header[..], b"\0\0\0\x20IDAT", &[7; 36], b"\0\0\0\0IENDsum!"].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_announced_as_too_large_is_refused_unread() {
    let room = Room::new().await;
    let unread =
        stream::poll_fn(|_| -> std::task::Poll<Option<std::io::Result<Bytes>>> { panic!("it is read") });
    let refused = room.store.copy(KEY, Kind::Video, Some(MEDIA_BYTES_MAX + 1), unread).await.unwrap_err();
    assert!(matches!(refused, CopyError::NotMedia(_)), "{refused:?}");
    assert_eq!(room.world.wire.effects(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_breaks_leaves_nothing_neither_file_nor_open_upload() {
    let room = Room::new().await;
    let before = room.files();
    for bytes in [SMALL, LONG] {
        let broken = chunks(film(bytes)).chain([Err(std::io::Error::other("cut"))]);
        let error = room.store.copy(KEY, Kind::Video, None, stream::iter(broken)).await.unwrap_err();
        assert!(matches!(error, CopyError::Source(_)), "{error:?}");
        assert_eq!(room.object().await, None);
        assert_eq!(room.files(), before);
    }
    assert_eq!(room.world.wire.calls(), ["S3.POST", "S3.PUT", "S3.DELETE"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_lies_about_its_length_is_refused() {
    let room = Room::new().await;
    let before = room.files();
    for bytes in [SMALL, LONG] {
        let longer = room.copy(film(bytes), Some(bytes as u64 - 1)).await.unwrap_err();
        assert!(matches!(longer, CopyError::NotMedia(_)), "{longer:?}");
        let shorter = room.copy(film(bytes), Some(bytes as u64 + 1)).await.unwrap_err();
        assert!(matches!(shorter, CopyError::Source(_)), "{shorter:?}");
    }
    assert_eq!(room.object().await, None);
    assert_eq!(room.files(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_copy_lands_on_the_same_key_and_a_failed_one_leaves_it() {
    let room = Room::new().await;
    let first = room.copy(film(SMALL), Some(SMALL as u64)).await.unwrap();
    let before = room.files();
    assert_eq!(room.copy(film(SMALL), Some(SMALL as u64)).await.unwrap(), first);
    for bytes in [SMALL, LONG] {
        room.copy(film(bytes), Some(bytes as u64 + 1)).await.unwrap_err();
    }
    assert_eq!(room.files(), before);
    assert_eq!(room.object().await.unwrap().0, film(SMALL));

    let (anna, job) = (account("anna"), JobId::from_bytes([0; 16]));
    let key = "media/acct_anna/job_aaaaaaaaaaaaaaaaaaaaaaaaaa/2/video.mp4";
    assert_eq!(attempt_media_key(&anna, &job, 2, Kind::Video), key);
    assert_eq!(attempt_media_key(&anna, &job, 2, Kind::Image), key.replace("video.mp4", "image"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_found_again_as_it_was_put_and_nothing_else_is() {
    let room = Room::new().await;
    assert_eq!(room.store.find(KEY).await.unwrap(), None);
    let media = room.copy(film(SMALL), Some(SMALL as u64)).await.unwrap();
    assert_eq!(room.store.find(KEY).await.unwrap(), Some(media));
    let nowhere = MediaStore::new(room.world.operator.s3(), "no-such-bucket");
    assert!(!matches!(nowhere.find(KEY).await, Ok(Some(_))));
}

/// Sources that make other bytes for each download.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_copies_at_once_both_say_what_is_there_and_no_later_one_changes_it() {
    for bytes in [SMALL, LONG] {
        let room = Room::new().await;
        let other = || [&film(bytes)[..bytes - 7], b"another"].concat();
        let length = Some(bytes as u64);
        let (one, two) = join!(room.copy(film(bytes), length), room.copy(other(), length));
        assert_eq!(one.as_ref().unwrap(), two.as_ref().unwrap());
        let (object, _) = room.object().await.unwrap();
        assert!(object == film(bytes) || object == other());
        assert_eq!(one.as_ref().unwrap().sha256, HEXLOWER.encode(&Sha256::digest(&object)));
        assert_eq!(room.store.find(KEY).await.unwrap().as_ref(), one.as_ref().ok());
        for late in [film(bytes), other()] {
            assert_eq!(room.copy(late, length).await.unwrap(), *one.as_ref().unwrap());
        }
        assert!(room.object().await.unwrap().0 == object, "it was replaced");
        assert!(!room.files().iter().any(|name| name.contains("upload")), "{:?}", room.files());
    }
}

/// Some streams panic when they are asked again after their end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_is_not_asked_again_after_its_end() {
    let room = Room::new().await;
    let mut left = chunks(film(LONG));
    let source = stream::unfold((), |()| std::future::ready(left.next().map(|chunk| (chunk, ()))));
    let media = room.store.copy(KEY, Kind::Video, Some(LONG as u64), Box::pin(source)).await.unwrap();
    assert_eq!(media.bytes, LONG as u64);
}

/// One part is read while another is on its way out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_part_is_read_while_one_is_stored() {
    let room = Room::new().await;
    let (read, wire) = (Arc::new(AtomicUsize::new(0)), room.world.wire.clone());
    let count = Arc::clone(&read);
    let source = stream::iter(chunks(film(LARGE))).inspect(move |chunk| {
        count.fetch_add(chunk.as_ref().unwrap().len(), Ordering::SeqCst);
    });
    // At the first part's upload; later ones are not needed for the proof.
    let seen = Arc::new(AtomicUsize::new(0));
    let note = Arc::clone(&seen);
    wire.reset();
    wire.overtake_at(1, move || {
        let (read, seen) = (Arc::clone(&read), Arc::clone(&note));
        async move {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            seen.store(read.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        .boxed()
    });
    room.store.copy(KEY, Kind::Video, Some(LARGE as u64), source).await.unwrap();
    let seen = seen.load(Ordering::SeqCst);
    assert!(seen > PART_BYTES + PART_BYTES / 2, "{seen} bytes were read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_unannounced_length_only_a_whole_file_is_taken() {
    let room = Room::new().await;
    let whole = [&b"\0\0\0\x10ftypisom\0\0\0\0\0\0\x02\x08moov"[..], &[7; 512]].concat();
    for end in [whole.len() - 1, whole.len() / 2] {
        let cut = room.copy(whole[..end].to_vec(), None).await.unwrap_err();
        assert!(matches!(cut, CopyError::Source(_)), "{cut:?}");
    }
    // In parts as well.
    let cut = room.copy([&whole[..], b"\x02\0\0\0mdat", &[0; LONG]].concat(), None).await.unwrap_err();
    assert!(matches!(cut, CopyError::Source(_)), "{cut:?}");
    assert_eq!(room.object().await, None);
    assert_eq!(room.copy(whole.clone(), None).await.unwrap().bytes, whole.len() as u64);
    // Without an index, it may have been cut off before that.
    let without = room.store.copy("media/b", Kind::Video, None, stream::iter(chunks(film(SMALL)))).await;
    assert!(matches!(without, Err(CopyError::Source(_))), "{without:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_does_not_take_the_file_is_our_failure_and_not_the_sources() {
    let room = Room::new().await;
    let nowhere = MediaStore::new(room.world.operator.s3(), "no-such-bucket");
    for bytes in [SMALL, PART_BYTES] {
        let error =
            nowhere.copy(KEY, Kind::Video, Some(bytes as u64), stream::iter(chunks(film(bytes)))).await;
        let error = error.unwrap_err();
        assert!(matches!(error, CopyError::Store(_)), "{error:?}");
    }
    let before = room.files();
    for k in 0..3 {
        room.world.wire.reset();
        room.world.wire.fail_at(k, harness::Moment::Before);
        let error = room.copy(film(PART_BYTES), Some(PART_BYTES as u64)).await.unwrap_err();
        assert!(matches!(error, CopyError::Store(_)), "call {k}: {error:?}");
        assert_eq!((room.object().await, room.files()), (None, before.clone()), "call {k}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_gives_the_film_to_whoever_has_it_while_it_is_valid() {
    let room = Room::new().await;
    let media = room.copy(film(SMALL), Some(SMALL as u64)).await.unwrap();
    let (now, hour) = (room.world.clock.now(), Duration::from_secs(3_600));

    let link = room.store.link(&media, now, hour).await.unwrap();
    let answer = reqwest::get(&link).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "video/mp4");
    assert_eq!(answer.headers()["content-disposition"], "inline; filename=\"video.mp4\"");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert_eq!(answer.bytes().await.unwrap(), film(SMALL));

    // What an earlier release took for a still is only saved.
    let scripted = Media { content_type: "image/svg+xml".to_owned(), ..media.clone() };
    let answer = reqwest::get(room.store.link(&scripted, now, hour).await.unwrap()).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    assert!(answer.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));

    let expired = room.store.link(&media, now.minus(2 * hour), hour).await.unwrap();
    let of_another = link.replace("acct_anna", "acct_bert");
    let unsigned = link.split('?').next().unwrap().to_owned();
    for url in [expired, of_another, unsigned] {
        assert_eq!(reqwest::get(&url).await.unwrap().status(), StatusCode::FORBIDDEN, "{url}");
    }
    let nothing = room
        .store
        .link(&Media { key: "media/none.mp4".to_owned(), ..media.clone() }, now, hour)
        .await
        .unwrap();
    assert_eq!(reqwest::get(&nothing).await.unwrap().status(), StatusCode::NOT_FOUND);
    let too_long = room.store.link(&media, now, 8 * 24 * hour).await.unwrap_err();
    assert!(too_long.is_corrupt(), "{too_long:?}");
}

/// A bucket whose folder can be looked into: the embedded S3 lists no open uploads, but
/// keeps a file for each.
struct Room {
    world: World,
    store: MediaStore,
    folder: TempDir,
}

impl Room {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let world = World::with(|options| options.media = folder.path().to_owned()).await;
        let store = MediaStore::new(world.stack.operator.s3(), bucket_name(&world));
        Self { world, store, folder }
    }

    async fn copy(&self, content: Vec<u8>, length: Option<u64>) -> Result<Media, CopyError> {
        self.copy_as(Kind::Video, content, length).await
    }

    async fn copy_as(&self, kind: Kind, content: Vec<u8>, length: Option<u64>) -> Result<Media, CopyError> {
        self.store.copy(KEY, kind, length, stream::iter(chunks(content))).await
    }

    /// The bytes and the content type of the object under [`KEY`].
    async fn object(&self) -> Option<(Vec<u8>, String)> {
        let get = self.world.operator.s3().get_object().bucket(bucket_name(&self.world)).key(KEY);
        let object = match get.send().await {
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => {
                return None;
            }
            answer => answer.expect("the bucket answers"),
        };
        let content_type = object.content_type.unwrap_or_default();
        Some((object.body.collect().await.expect("the object is read").to_vec(), content_type))
    }

    /// Every file that the S3 keeps.
    fn files(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        collect(self.folder.path(), &mut files);
        files
    }
}

fn collect(folder: &Path, files: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("the folder is read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.insert(path.display().to_string());
        }
    }
}

/// An MP4 file without an index, and in it runs of bytes that no part begins alike with.
fn film(bytes: usize) -> Vec<u8> {
    let size = u32::try_from(bytes - 24).expect("a short film").to_be_bytes();
    let mut film = [b"\0\0\0\x18ftypisom\0\0\x02\0isommp42", &size[..], b"mdat"].concat();
    let mut fills = (0..251_u8).cycle();
    while film.len() < bytes {
        film.resize(film.len() + 4_099, fills.next().unwrap_or(0));
    }
    film.truncate(bytes);
    film
}

fn chunks(content: Vec<u8>) -> impl Iterator<Item = std::io::Result<Bytes>> {
    const CHUNK: usize = 1_024 * 1_024;
    let content = Bytes::from(content);
    (0..content.len().div_ceil(CHUNK))
        .map(move |n| Ok(content.slice(n * CHUNK..content.len().min((n + 1) * CHUNK))))
}

fn described(bytes: u64, sha256: &str) -> Media {
    Media {
        key: KEY.to_owned(),
        bytes,
        sha256: sha256.to_owned(),
        content_type: "video/mp4".to_owned(),
        details: Details::default(),
    }
}
