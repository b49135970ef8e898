//! The heap against a model of it, full and not, and what its spans promise.

use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// A heap on memory of the host's, which is full of a pattern.
struct Region {
    heap: Heap,
    memory: Vec<u8>,
}

const UNTOUCHED: u8 = 0xa5;

impl Region {
    fn new(bytes: usize) -> Self {
        let mut memory = std::vec![UNTOUCHED; bytes];
        let start = memory.as_mut_ptr().expose_provenance();
        let heap = Heap::new();
        // SAFETY: the memory lives as long as the heap, and is not used beside it.
        unsafe { heap.claim(start, start + bytes) };
        Self { heap, memory }
    }

    fn alloc(&self, bytes: usize) -> Option<usize> {
        self.alloc_aligned(bytes, 8)
    }

    fn alloc_aligned(&self, bytes: usize, align: usize) -> Option<usize> {
        // SAFETY: there are no layouts without bytes here.
        let object = unsafe { self.heap.alloc(layout(bytes, align)) };
        (!object.is_null()).then(|| object.expose_provenance())
    }

    fn free(&self, object: usize, bytes: usize) {
        // SAFETY: each test frees what it has, once.
        unsafe { self.heap.dealloc(at(object), layout(bytes, 8)) };
    }

    /// As many objects as there is room for.
    fn fill(&self, bytes: usize) -> Vec<usize> {
        core::iter::from_fn(|| self.alloc(bytes)).collect()
    }
}

fn layout(bytes: usize, align: usize) -> Layout {
    Layout::from_size_align(bytes, align).unwrap()
}

fn at(address: usize) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(address)
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }
}

#[derive(Clone, Debug)]
enum Step {
    Alloc { bytes: usize, align_bits: u32 },
    Free { which: usize },
    Realloc { which: usize, bytes: usize },
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 1..200usize, 2 => 1..5_000usize, 1 => 1..60_000usize, 1 => Just(8192)]
}

fn step() -> impl Strategy<Value = Step> {
    let align_bits = prop_oneof![8 => 0..5u32, 1 => 5..15u32];
    prop_oneof![
        5 => (sizes(), align_bits).prop_map(|(bytes, align_bits)| Step::Alloc { bytes, align_bits }),
        3 => any::<usize>().prop_map(|which| Step::Free { which }),
        2 => (any::<usize>(), sizes()).prop_map(|(which, bytes)| Step::Realloc { which, bytes }),
    ]
}

struct Object {
    bytes: usize,
    align: usize,
    mark: u8,
}

/// What must be true of every object, beside its heap.
#[derive(Default)]
struct Model {
    objects: BTreeMap<usize, Object>,
    marks: u8,
}

impl Model {
    fn insert(&mut self, region: &Region, address: usize, bytes: usize, align: usize) {
        let memory = region.memory.as_ptr_range();
        assert!(address >= memory.start.addr() && address + bytes <= memory.end.addr());
        assert_eq!(address % align, 0);
        let before = self.objects.range(..address + bytes).next_back();
        assert!(before.is_none_or(|(start, it)| start + it.bytes <= address), "they overlap");
        self.marks = self.marks.wrapping_add(1);
        // SAFETY: the heap has just given it, and it lies in the memory.
        unsafe { at(address).write_bytes(self.marks, bytes) };
        self.objects.insert(address, Object { bytes, align, mark: self.marks });
    }

    fn remove(&mut self, which: usize) -> Option<(usize, Object)> {
        let nth = which % self.objects.len().max(1);
        let address = *self.objects.keys().nth(nth)?;
        Some((address, self.objects.remove(&address)?))
    }
}

fn check_contents(address: usize, bytes: usize, mark: u8) {
    // SAFETY: it was written when it was allocated.
    let contents = unsafe { core::slice::from_raw_parts(at(address), bytes) };
    assert!(contents.iter().all(|byte| *byte == mark), "its contents have changed");
}

fn take_step(region: &Region, model: &mut Model, step: &Step) {
    match *step {
        Step::Alloc { bytes, align_bits } => {
            let align = 1 << align_bits;
            if let Some(address) = region.alloc_aligned(bytes, align) {
                model.insert(region, address, bytes, align);
            }
        }
        Step::Free { which } => {
            if let Some((address, object)) = model.remove(which) {
                check_contents(address, object.bytes, object.mark);
                let layout = layout(object.bytes, object.align);
                // SAFETY: the model has it with this layout, and no more.
                unsafe { region.heap.dealloc(at(address), layout) };
            }
        }
        Step::Realloc { which, bytes } => {
            let Some((address, object)) = model.remove(which) else { return };
            let layout = layout(object.bytes, object.align);
            // SAFETY: the model has it with this layout.
            let moved = unsafe { region.heap.realloc(at(address), layout, bytes) };
            if moved.is_null() {
                check_contents(address, object.bytes, object.mark);
                model.objects.insert(address, object);
                return;
            }
            check_contents(moved.expose_provenance(), bytes.min(object.bytes), object.mark);
            model.insert(region, moved.addr(), bytes, object.align);
        }
    }
    let used: usize = model.objects.values().map(|object| object.bytes).sum();
    assert_eq!(region.heap.usage(), (used, region.memory.len()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is asked of it, full or not: objects are apart, aligned and keep their contents, and
    /// when all are freed there is one piece again.
    #[test]
    fn objects_are_apart_and_all_memory_comes_back(
        bytes in 100_000usize..600_000,
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let region = Region::new(bytes);
        let mut model = Model::default();
        for step in &steps {
            take_step(&region, &mut model, step);
        }
        while !model.objects.is_empty() {
            take_step(&region, &mut model, &Step::Free { which: steps.len() });
        }
        prop_assert_eq!(region.heap.usage().0, 0);
        let most = bytes - bytes / 50 - 3 * 4096;
        prop_assert!(region.alloc(most).is_some(), "{} of {}", most, bytes);
    }
}

#[test]
fn memory_that_is_too_small_is_not_used() {
    for bytes in 0..600usize {
        let memory = std::vec![0u64; bytes.div_ceil(8)];
        let start = memory.as_ptr().expose_provenance();
        let heap = Heap::new();
        if cfg!(feature = "linked-list") && bytes < 64 {
            continue;
        }
        // SAFETY: as in `Region::new`.
        unsafe { heap.claim(start, start + bytes) };
        // SAFETY: the layout has bytes.
        assert!(unsafe { heap.alloc(layout(1000, 8)) }.is_null());
        assert!(heap.available() <= bytes);
    }
}

#[test]
fn a_full_heap_refuses_and_goes_on() {
    for bytes in [1, 24, 100, 1000, 3000, 5000, 8192, 100_000] {
        let region = Region::new(1 << 20);
        let objects = region.fill(bytes);
        assert!(objects.len() * bytes > (1 << 20) / 20);
        for object in &objects {
            region.free(*object, bytes);
        }
        assert_eq!(region.fill(bytes).len(), objects.len(), "{bytes}");
    }
}

#[cfg(not(feature = "linked-list"))]
mod spans {
    use super::*;

    /// Fills a heap with objects of one size, and frees all but a tenth, at random.
    fn riddled(bytes: usize) -> (Region, Vec<usize>) {
        let region = Region::new(8 << 20);
        let mut objects = region.fill(bytes);
        let mut random = Random(1);
        for at in (1..objects.len()).rev() {
            objects.swap(at, random.below(at + 1));
        }
        let kept = objects.len() / 10;
        objects.drain(kept..).for_each(|object| region.free(object, bytes));
        (region, objects)
    }

    #[test]
    fn small_objects_have_no_headers() {
        for bytes in [16, 24, 32, 40, 48, 56, 64, 96, 128, 1024, 8192] {
            let taken = Region::new(8 << 20).fill(bytes).len() * bytes;
            assert!(taken * 100 > (8 << 20) * 96, "{bytes}: {taken} bytes");
        }
    }

    #[test]
    fn freed_memory_serves_for_other_sizes() {
        for (before, after, percent) in
            [(24, 64, 70), (48, 56, 50), (64, 24, 30), (1000, 64, 70), (8192, 64, 95)]
        {
            let (region, objects) = riddled(before);
            let freed = objects.len() * 9 * before;
            let got = region.fill(after).len() * after;
            assert!(got * 100 >= freed * percent, "{after} after {before}: {got} of {freed}");
        }
    }

    /// No page is free among what is left, but a program that moves what lies in sparse spans has nearly
    /// all of them again.
    #[test]
    fn moving_what_would_move_frees_pages() {
        for bytes in [24, 48, 64] {
            let (region, mut objects) = riddled(bytes);
            assert!(region.heap.available() < 1 << 20);
            for object in &mut objects {
                if region.heap.would_move(*object) {
                    let moved = region.alloc(bytes).expect("there is room");
                    region.free(core::mem::replace(object, moved), bytes);
                }
            }
            let used = objects.len() * bytes;
            assert!(region.heap.available() * 10 > ((8 << 20) - used) * 9, "{bytes}");
            assert!(region.alloc(8192).is_some());
            assert!(objects.iter().filter(|object| region.heap.would_move(**object)).count() < 500);
        }
    }

    /// The sizes stay the same, and 85 % of the heap is in use.
    #[test]
    fn a_churned_heap_has_room_for_pages() {
        let region = Region::new(8 << 20);
        let (mut objects, mut used, mut random) = (Vec::new(), 0, Random(3));
        for _ in 0..1_000_000 {
            let bytes = if random.below(300) == 0 { 8192 } else { 24 + random.below(41) };
            let object = region.alloc(bytes).expect("there is room");
            objects.push((object, bytes));
            used += bytes;
            while used > (8 << 20) / 100 * 85 {
                let (object, bytes) = objects.swap_remove(random.below(objects.len()));
                region.free(object, bytes);
                used -= bytes;
            }
        }
        assert!(region.alloc(8192).is_some());
    }

    #[test]
    fn what_is_long_grows_where_it_is() {
        let region = Region::new(16 << 20);
        let mut bytes = 40_000;
        let object = region.alloc(bytes).unwrap();
        while bytes < 8 << 20 {
            assert!(region.alloc(50).is_some());
            let wanted = bytes + bytes / 2;
            // SAFETY: it has this layout.
            let grown = unsafe { region.heap.realloc(at(object), layout(bytes, 8), wanted) };
            assert_eq!(grown.addr(), object, "to {wanted}");
            bytes = wanted;
        }
        // SAFETY: it has this layout.
        let shrunk = unsafe { region.heap.realloc(at(object), layout(bytes, 8), 50_000) };
        assert_eq!(shrunk.addr(), object);
        assert!(region.heap.available() > 15 << 20);
    }

    #[test]
    fn shrinking_needs_no_memory() {
        let region = Region::new(1 << 20);
        let object = region.alloc(20_000).unwrap();
        let others = region.fill(3000);
        region.fill(16);
        // SAFETY: it has this layout.
        let shrunk = unsafe { region.heap.realloc(at(object), layout(20_000, 8), 100) };
        assert_eq!(shrunk.addr(), object);
        assert!(region.alloc(8192).is_some());
        region.free(object, 100);
        region.free(others[0], 3000);
    }

    /// What is never used costs the host nothing, neither pages nor what is known of them.
    #[test]
    fn memory_is_touched_as_it_is_used() {
        let region = Region::new(64 << 20);
        for _ in 0..1000 {
            region.alloc(64).unwrap();
        }
        let touched =
            region.memory.chunks(4096).filter(|page| page.iter().any(|byte| *byte != UNTOUCHED));
        let touched = touched.count();
        assert!(touched < 12, "{touched} pages");
    }
}
