//! Stores on a real disk and in memory: commits, restores, ages, and damage.

use super::*;
use crate::store::{Identity, StateDirectory};

fn identity() -> Identity {
    Identity {
        stage: "alert".into(),
        topic: "t".into(),
        partition: 3,
        cluster: "c".into(),
        topic_ids: "1+2".into(),
    }
}

fn at(input_offset: i64) -> Checkpoint {
    Checkpoint { input_offset, changelog_offset: 0, at_ms: 0 }
}

fn value(store: &Store, key: &[u8]) -> Option<Vec<u8>> {
    store.get(key, 0, <[u8]>::to_vec).unwrap()
}

#[test]
fn state_and_offset_survive_together_and_an_abort_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    {
        let state = StateDirectory::open(&path).unwrap();
        let mut store = state.store(&identity(), 30).unwrap();
        assert_eq!(store.checkpoint(), Checkpoint::NONE);
        store.put(b"a1", 0, b"one");
        store.put(b"a2", 0, b"two");
        store.seal();
        store.put(b"a3", 0, b"three");
        assert_eq!(value(&store, b"a1"), Some(b"one".to_vec()), "sealed changes are seen");
        store.commit(at(7)).unwrap();
        store.delete(b"a1");
        assert_eq!(value(&store, b"a1"), None);
        assert_eq!(value(&store, b"a3"), Some(b"three".to_vec()));
        store.abort();
    }
    let state = StateDirectory::open(&path).unwrap();
    let store = state.store(&identity(), 30).unwrap();
    assert_eq!(store.checkpoint(), at(7));
    assert_eq!(value(&store, b"a1"), Some(b"one".to_vec()));
    assert_eq!(value(&store, b"a3"), None);
}

#[test]
fn a_large_commit_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(&dir.path().join("state")).unwrap();
    let mut store = state.store(&identity(), 30).unwrap();
    for n in 0..2_500_u32 {
        store.put(&[b"k".as_slice(), &n.to_be_bytes()].concat(), 0, &n.to_be_bytes());
    }
    store.seal();
    store.commit(at(1)).unwrap();
    let mut seen = 0;
    store.scan(|_, _| seen += 1).unwrap();
    assert_eq!(seen, 2_500);
}

#[test]
fn restored_entries_are_read_before_the_disk_has_them_and_reach_it() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(&dir.path().join("state")).unwrap();
    let restored = Checkpoint { input_offset: -1, changelog_offset: 9, at_ms: 0 };
    {
        let mut store = state.store(&identity(), 30).unwrap();
        let old = [0, 0, 0, 0, 1];
        let entries: Vec<Vec<u8>> = (0..2_500_u32).map(|n| [b"k", &n.to_be_bytes()[..]].concat()).collect();
        let changes: Vec<Change<'_>> = entries.iter().map(|key| Change { key, value: Some(&old) }).collect();
        store.restore(&changes, restored).unwrap();
        assert_eq!(value(&store, &entries[1]), Some(vec![1]));
        assert!(store.fill().unwrap(), "one batch of three");
        // A commit in the middle: its changes must win over what still waits.
        store.put(&entries[0], 0, b"new");
        store.delete(&entries[2_400]);
        store.seal();
        store.commit(Checkpoint { input_offset: 5, changelog_offset: 12, at_ms: 0 }).unwrap();
        while store.fill().unwrap() {}
    }
    let mut store = state.store(&identity(), 30).unwrap();
    assert_eq!(store.checkpoint(), Checkpoint { input_offset: 5, changelog_offset: 12, at_ms: 0 });
    assert_eq!(value(&store, &[b"k", &0_u32.to_be_bytes()[..]].concat()), Some(b"new".to_vec()));
    let mut seen = 0;
    store.scan(|_, _| seen += 1).unwrap();
    assert_eq!(seen, 2_499);
}

/// Tombstones of what is in it may be gone from the changelog by the time of the next try.
#[test]
fn a_first_restore_that_was_cut_short_begins_again_with_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(&dir.path().join("state")).unwrap();
    let entries: Vec<Vec<u8>> = (0..2_500_u32).map(|n| [b"k", &n.to_be_bytes()[..]].concat()).collect();
    let changes = entries.iter().map(|key| Change { key, value: Some(&[0, 0, 0, 0, 1]) });
    let mut store = state.store(&identity(), 30).unwrap();
    store.restore(&changes.collect::<Vec<_>>(), at(1)).unwrap();
    assert!(store.fill().unwrap(), "one batch of three");
    drop(store);
    let mut store = state.store(&identity(), 30).unwrap();
    assert_eq!(store.checkpoint(), Checkpoint::NONE);
    store.scan(|key, _| panic!("{key:?} is still there")).unwrap();
}

#[test]
fn a_store_that_may_have_missed_tombstones_is_outdated() {
    let hour = |hour: i64| hour * 3_600_000;
    let mut store = Store::in_memory();
    let kept = Duration::from_secs(24 * 3_600);
    assert!(!store.is_outdated(hour(1_000), kept), "there is nothing in it");
    assert_eq!(store.believed_until_ms(kept), i64::MAX);
    store.commit(Checkpoint { input_offset: 1, changelog_offset: 1, at_ms: hour(100) }).unwrap();
    assert!(!store.is_outdated(hour(100), kept) && !store.is_outdated(hour(121), kept));
    assert!(store.is_outdated(hour(122), kept), "the restore would not be done in time");
    assert!(store.is_outdated(hour(99), kept), "the clock was set back");
    store.confirm(hour(110));
    assert!(!store.is_outdated(hour(122), kept));
}

#[test]
fn a_store_is_on_the_disk_from_its_first_entry_on() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(&dir.path().join("state")).unwrap();
    let commit = |offset| {
        let mut store = state.store(&identity(), 30).unwrap();
        store.seal();
        store.commit(at(offset)).unwrap();
        assert_eq!(store.checkpoint(), at(offset));
    };
    let of_disk = || state.store(&identity(), 30).unwrap().checkpoint();
    let seen_changelog = Checkpoint { input_offset: -1, changelog_offset: 0, at_ms: 0 };
    {
        let mut store = state.store(&identity(), 30).unwrap();
        store.restore(&[], seen_changelog).unwrap();
        store.seal();
        store.commit(at(5)).unwrap();
        assert_eq!(store.checkpoint(), at(5));
    }
    assert_eq!(of_disk(), Checkpoint::NONE, "nothing to remember");
    {
        let mut store = state.store(&identity(), 30).unwrap();
        let change = Change { key: b"key", value: Some(&[0, 0, 0, 0, 1]) };
        store.restore(&[change], seen_changelog).unwrap();
        while store.fill().unwrap() {}
    }
    assert_eq!(of_disk(), seen_changelog);
    commit(6);
    assert_eq!(of_disk(), at(6), "it says that it has been in use, though nothing has changed");
    commit(7);
    assert_eq!(of_disk(), at(6), "and is left alone from then on");
    state.drop_store(&identity().tree_name()).unwrap();
    assert_eq!(of_disk(), Checkpoint::NONE);
    let mut store = state.store(&identity(), 30).unwrap();
    store.put(b"key", 0, b"value");
    store.seal();
    store.commit(at(1)).unwrap();
    assert_eq!((of_disk(), value(&store, b"key")), (at(1), Some(b"value".to_vec())));
}

#[test]
fn old_entries_count_as_gone_and_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(&dir.path().join("state")).unwrap();
    let mut store = state.store(&identity(), 30).unwrap();
    for day in [100, 120, 140] {
        store.put(&[b'k', day], day.into(), b"v");
    }
    store.seal();
    store.commit(at(1)).unwrap();
    assert!(store.get(&[b'k', 100], 130, |_| ()).unwrap().is_some());
    assert!(store.get(&[b'k', 100], 131, |_| ()).unwrap().is_none());
    assert!(!store.expire(155, 2).unwrap(), "two of three were looked at");
    assert!(store.expire(155, 2).unwrap());
    let sealed = store.seal();
    let mut gone: Vec<u8> = sealed.changes().map(|change| change.key[1]).collect();
    gone.sort_unstable();
    assert_eq!(gone, [100, 120], "tombstones for the changelog");
    assert!(sealed.changes().all(|change| change.value.is_none()));
    store.commit(at(2)).unwrap();
    let mut left = Vec::new();
    store.scan(|key, _| left.push(key[1])).unwrap();
    assert_eq!(left, [140]);
}

#[test]
fn an_old_record_reads_newer_entries_and_writes_under_their_day() {
    let mut store = Store::in_memory_for(30);
    let update = |store: &mut Store, today: u32, value: &[u8]| {
        let (before, day) = store.get_for_update(b"key", today, <[u8]>::to_vec).unwrap();
        store.put(b"key", day, value);
        (before, day)
    };
    assert_eq!(update(&mut store, 100, b"a"), (None, 100));
    assert_eq!(update(&mut store, 1, b"b"), (Some(b"a".to_vec()), 100), "from the overlay");
    store.seal();
    assert_eq!(update(&mut store, 2, b"c"), (Some(b"b".to_vec()), 100), "from what is sealed");
    store.commit(at(1)).unwrap();
    store.seal();
    store.commit(at(2)).unwrap();
    assert_eq!(update(&mut store, 3, b"d"), (Some(b"c".to_vec()), 100), "from what is committed");
    assert!(store.get(b"key", 130, |_| ()).unwrap().is_some());
    assert_eq!(update(&mut store, 131, b"e"), (None, 131), "what is gone says nothing of its day");
}

#[test]
fn a_flipped_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(&dir.path().join("state")).unwrap();
    let mut store = state.store(&identity(), 30).unwrap();
    store.put(b"key", 0, b"value");
    store.seal();
    store.commit(at(1)).unwrap();
    let Committed::Disk(tree) = &store.committed else { panic!("on disk") };
    tree.damage(b"key");
    assert!(matches!(store.get(b"key", 0, |_| ()), Err(StateError::Corrupted { .. })));
}

#[test]
fn a_store_of_another_cluster_is_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(&dir.path().join("state")).unwrap();
    let mut store = state.store(&identity(), 30).unwrap();
    store.put(b"key", 0, b"value");
    store.seal();
    store.commit(at(1)).unwrap();
    drop(store);
    let elsewhere = Identity { cluster: "d".into(), ..identity() };
    let store = state.store(&elsewhere, 30).unwrap();
    assert_eq!((store.checkpoint(), value(&store, b"key")), (Checkpoint::NONE, None));
}

#[test]
fn a_store_of_topics_that_were_made_again_is_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(&dir.path().join("state")).unwrap();
    let mut store = state.store(&identity(), 30).unwrap();
    store.put(b"key", 0, b"value");
    store.seal();
    store.commit(at(1)).unwrap();
    drop(store);
    let store = state.store(&identity(), 30).unwrap();
    assert_eq!(store.checkpoint(), at(1), "the same topics");
    drop(store);
    let made_again = Identity { topic_ids: "1+3".into(), ..identity() };
    let store = state.store(&made_again, 30).unwrap();
    assert_eq!((store.checkpoint(), value(&store, b"key")), (Checkpoint::NONE, None));
}

#[test]
fn what_is_kept_never_expires() {
    let mut store = Store::in_memory_for(10);
    store.keep(b"k", b"1");
    store.put(b"p", 100, b"2");
    store.seal();
    store.commit(Checkpoint::NONE).unwrap();
    assert!(store.expire(200, usize::MAX).unwrap());
    store.seal();
    store.commit(Checkpoint::NONE).unwrap();
    let mut left = Vec::new();
    store.scan(|key, _| left.push(key.to_vec())).unwrap();
    assert_eq!(left, [b"k"]);
    assert_eq!(store.kept(b"k", <[u8]>::to_vec).unwrap(), Some(b"1".to_vec()));
}

#[test]
fn a_scan_sees_what_a_read_sees() {
    let mut store = Store::in_memory();
    let commit = |store: &mut Store| {
        store.seal();
        store.commit(Checkpoint::NONE).unwrap();
    };
    for key in [b"a1", b"a2", b"a3", b"a4", b"b1"] {
        store.keep(key, b"committed");
    }
    commit(&mut store);
    store.keep(b"a2", b"sealed");
    store.delete(b"a3");
    store.keep(b"a4", b"sealed");
    store.seal();
    store.keep(b"a4", b"open");
    store.keep(b"a5", b"open");
    let mut seen = BTreeMap::new();
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    store.scan_prefix(b"a", |key, value| drop(seen.insert(shown(key), shown(value)))).unwrap();
    let expected = [("a1", "committed"), ("a2", "sealed"), ("a4", "open"), ("a5", "open")];
    assert_eq!(seen, BTreeMap::from(expected.map(|(key, value)| (key.to_owned(), value.to_owned()))));
    let mut answered = Vec::new();
    store.scan_committed(b"a", |key, value| answered.push((shown(key), shown(value)))).unwrap();
    let committed = ["a1", "a2", "a3", "a4"].map(|key| (key.to_owned(), "committed".to_owned()));
    assert_eq!(answered, committed, "others must not see what may be taken back");
}

#[test]
fn changes_since_a_mark_are_taken_back() {
    let mut store = Store::in_memory();
    store.keep(b"a", b"1");
    store.delete(b"b");
    store.mark();
    store.keep(b"a", b"2");
    store.keep(b"c", b"3");
    store.keep(b"a", b"4");
    store.keep(b"b", b"5");
    store.take_back();
    let read = |store: &Store, key: &[u8]| store.kept(key, <[u8]>::to_vec).unwrap();
    assert_eq!(read(&store, b"a"), Some(b"1".to_vec()));
    assert_eq!((read(&store, b"b"), read(&store, b"c"), store.changed()), (None, None, 2));
    store.keep(b"c", b"6");
    assert_eq!(read(&store, b"c"), Some(b"6".to_vec()));
}

#[test]
#[should_panic(expected = "begin with a lower-case letter")]
fn keys_of_the_engine_are_refused() {
    Store::in_memory().keep(b"\0c", b"1");
}
