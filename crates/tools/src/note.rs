//! The ELF note of a program, which has the address of the layout of asyncio's data.

use crate::{
    Failure,
    memory::{Memory, Numbers, Unreadable, u16_at, u32_at, u64_at},
};
use asyncio_core::raw::layout::{Descriptor, Layout, OWNER, TYPE, VERSION};
use std::mem::offset_of;

const HEADER: usize = 64;
const SEGMENT: usize = 56;
const SEGMENTS_MAX: u16 = 512;
const NOTES_MAX: u64 = 1 << 16;
const IMAGES_MAX: usize = 4096;
const LOAD: u32 = 1;
const NOTE: u32 = 4;

/// The contents of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    version: u32,
    size: u32,
    layout: u64,
}

/// Returns the address of the layout.
///
/// # Errors
/// The error of `memory`; or the program does not contain asyncio, contains another version, or has
/// no loop.
pub(crate) fn find_layout(memory: &dyn Memory) -> Result<u64, Failure> {
    let images = memory.images()?;
    let notes = images.iter().take(IMAGES_MAX).filter_map(|image| in_image(memory, *image).ok()?);
    // A library may have its own.
    let mut best = None;
    for said in notes {
        let is_used = said.layout != 0;
        if best.is_none_or(|best: Said| best.layout == 0 && is_used) {
            best = Some(said);
        }
    }
    let name = memory.name();
    let said = best.ok_or_else(|| {
        Failure::new(format!(
            "{name} has no asyncio for Rust in it, or one without a layout; asyncio 0.1.0 or later is \
             looked for. (A program in Python: `python -m asyncio ps`)"
        ))
    })?;
    if said.version != VERSION || said.size as usize != size_of::<Layout>() {
        return Err(Failure::new(format!(
            "{name} has an asyncio of another version (its layout is {} of {} bytes; this command \
             reads {VERSION} of {}): install the asyncio-tools of that version, \
             `cargo install asyncio-tools --version VERSION`",
            said.version,
            said.size,
            size_of::<Layout>()
        )));
    }
    match said.layout {
        0 => Err(Failure::new(format!("{name} has not made an event loop yet: try again later"))),
        layout => Ok(layout),
    }
}

/// The note of the file at an address, if the file is for this machine and has one.
fn in_image(memory: &dyn Memory, image: u64) -> Result<Option<Said>, Unreadable> {
    let header: [u8; HEADER] = memory.bytes(image)?;
    let is_ours = header.starts_with(b"\x7fELF\x02\x01");
    let (count, size) = (u16_at(&header, 56), u16_at(&header, 54));
    if !is_ours || usize::from(size) != SEGMENT || count > SEGMENTS_MAX {
        return Ok(None);
    }
    let mut segments = vec![0; usize::from(count) * SEGMENT];
    memory.read(image.wrapping_add(u64_at(&header, 32)), &mut segments)?;
    let segments = || segments.chunks_exact(SEGMENT);
    let first = segments().find(|segment| u32_at(segment, 0) == LOAD);
    let Some(first) = first else { return Ok(None) };
    // The offset by which the file was moved: its beginning is at a known address.
    let moved = image.wrapping_sub(u64_at(first, 16).wrapping_sub(u64_at(first, 8)));
    for segment in segments().filter(|segment| u32_at(segment, 0) == NOTE) {
        let (address, size) = (moved.wrapping_add(u64_at(segment, 16)), u64_at(segment, 40));
        if size > NOTES_MAX {
            continue;
        }
        let mut notes = vec![0; size as usize];
        let align = if u64_at(segment, 48) == 8 { 8 } else { 4 };
        let found = memory.read(address, &mut notes).ok().and_then(|()| in_notes(&notes, align));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The note among those of a segment.
fn in_notes(mut notes: &[u8], align: usize) -> Option<Said> {
    while notes.len() >= 12 {
        let sizes = [0, 4].map(|offset| u32_at(notes, offset) as usize);
        let owner = notes.get(12..)?.get(..sizes[0])?;
        let begin = (12 + sizes[0]).next_multiple_of(align);
        let descriptor = notes.get(begin..)?.get(..sizes[1])?;
        if owner == OWNER && u32_at(notes, 8) == TYPE && sizes[1] == size_of::<Descriptor>() {
            return Some(Said {
                version: u32_at(descriptor, offset_of!(Descriptor, version)),
                size: u32_at(descriptor, offset_of!(Descriptor, size)),
                layout: u64_at(descriptor, offset_of!(Descriptor, layout)),
            });
        }
        notes = notes.get((begin + sizes[1]).next_multiple_of(align)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(owner: &[u8], kind: u32, descriptor: &[u8], align: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [owner.len() as u32, descriptor.len() as u32, kind] {
            bytes.extend(number.to_ne_bytes());
        }
        for part in [owner, descriptor] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(align), 0);
        }
        bytes
    }

    #[test]
    fn the_note_is_found_among_others() {
        let mut descriptor = Vec::new();
        descriptor.extend(VERSION.to_ne_bytes());
        descriptor.extend(7_u32.to_ne_bytes());
        descriptor.extend(0x1234_u64.to_ne_bytes());
        let expected = Some(Said { version: VERSION, size: 7, layout: 0x1234 });
        for align in [4, 8] {
            let mut notes = note(b"GNU\0", 3, &[1; 20], align);
            notes.extend(note(OWNER, TYPE + 1, &descriptor, align));
            assert_eq!(in_notes(&notes, align), None);
            notes.extend(note(OWNER, TYPE, &descriptor, align));
            assert_eq!(in_notes(&notes, align), expected);
            for length in 0..notes.len() - 4 {
                let _ = in_notes(&notes[..length], align);
            }
        }
    }

    #[test]
    fn sizes_that_make_no_sense_are_no_note() {
        let mut notes = note(OWNER, TYPE, &[0; 16], 4);
        for place in 0..8 {
            notes[place] = 0xff;
            assert_eq!(in_notes(&notes, 4), None);
        }
        assert_eq!(in_notes(&[0; 64], 4), None);
    }
}
