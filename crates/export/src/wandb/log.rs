//! The log that a `.wandb` file is: LevelDB's, with a header of its own. Blocks of 32 KiB hold chunks
//! (checksum, length, kind, data); a record that does not fit into the rest of a block goes on in the
//! next, and no chunk begins where its header would not fit.

use crc::{CRC_32_ISO_HDLC, Crc};

const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

const BLOCK: usize = 32 * 1024;
const CHUNK_HEADER: usize = 4 + 2 + 1;

/// Magic word and version 0. As long as a chunk's header, and counted as part of the first block.
const HEADER: &[u8; 7] = b":W&B\xe1\xbe\x00";

/// The kind of a chunk: whether its record begins and ends in it.
const fn kind(begins: bool, ends: bool) -> u8 {
    match (begins, ends) {
        (true, true) => 1,
        (true, false) => 2,
        (false, false) => 3,
        (false, true) => 4,
    }
}

pub fn begin() -> Vec<u8> {
    HEADER.to_vec()
}

pub fn append(out: &mut Vec<u8>, record: &[u8]) {
    let mut rest = record;
    let mut begins = true;
    loop {
        let mut room = BLOCK - out.len() % BLOCK;
        if room < CHUNK_HEADER {
            out.resize(out.len() + room, 0);
            room = BLOCK;
        }
        let (data, later) = rest.split_at(rest.len().min(room - CHUNK_HEADER));
        append_chunk(out, kind(begins, later.is_empty()), data);
        if later.is_empty() {
            return;
        }
        (rest, begins) = (later, false);
    }
}

fn append_chunk(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
    let mut digest = CRC32.digest();
    digest.update(&[kind]);
    digest.update(data);
    let length = u16::try_from(data.len()).expect("a chunk is smaller than a block");
    out.extend(digest.finalize().to_le_bytes());
    out.extend(length.to_le_bytes());
    out.push(kind);
    out.extend(data);
}

/// The records again.
#[cfg(test)]
pub fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut at = HEADER.len();
    let (mut records, mut record) = (Vec::new(), Vec::new());
    while at < bytes.len() {
        let room = BLOCK - at % BLOCK;
        if room < CHUNK_HEADER {
            at += room;
            continue;
        }
        let header = &bytes[at..at + CHUNK_HEADER];
        let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
        record.extend(&bytes[at + CHUNK_HEADER..at + CHUNK_HEADER + length]);
        if matches!(header[6], 1 | 4) {
            records.push(std::mem::take(&mut record));
        }
        at += CHUNK_HEADER + length;
    }
    records
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_of_every_length_come_back(lengths in prop::collection::vec(0..70_000_usize, 0..8)) {
            let records: Vec<Vec<u8>> =
                lengths.iter().zip(1..).map(|(length, byte)| vec![byte; *length]).collect();
            let mut log = begin();
            records.iter().for_each(|record| append(&mut log, record));
            prop_assert_eq!(split(&log), records);
        }
    }

    /// Seven bytes before a block's end a chunk's header just fits, and six do not.
    #[test]
    fn a_block_is_filled_to_its_last_byte() {
        for free in 0..=8 {
            let mut log = begin();
            append(&mut log, &vec![1; BLOCK - HEADER.len() - CHUNK_HEADER - free]);
            append(&mut log, b"next");
            assert_eq!(split(&log).last().unwrap(), b"next", "{free} bytes free");
            let end = if free < 7 { BLOCK + CHUNK_HEADER + 4 } else { BLOCK };
            assert!(log.len() >= end);
        }
    }
}
