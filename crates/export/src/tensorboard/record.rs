//! TFRecord: length, its checksum, data, their checksum; all numbers little-endian, both checksums
//! masked, because data may hold records themselves.

use crc::{CRC_32_ISCSI, Crc};

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

pub fn append(out: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    out.extend(length);
    out.extend(masked(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked(data).to_le_bytes());
}

fn masked(data: &[u8]) -> u32 {
    CRC32C.checksum(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The records again, their checksums checked.
#[cfg(test)]
pub fn split(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (checksum, rest) = rest.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_le_bytes(*checksum), masked(length));
        let (data, rest) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
        let (checksum, rest) = rest.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_le_bytes(*checksum), masked(data));
        bytes = rest;
        Some(data)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the checksum's definition (RFC 3720, B.4: 32 zero bytes).
    #[test]
    fn the_checksum_is_that_of_iscsi() {
        assert_eq!(CRC32C.checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked(&[]), 0xa282_ead8);
    }

    #[test]
    fn records_come_back_as_they_were() {
        let mut bytes = Vec::new();
        let data: [&[u8]; 3] = [b"", b"one", &[7; 1000]];
        data.iter().for_each(|data| append(&mut bytes, data));
        assert_eq!(bytes.len(), 3 * 16 + 1003);
        assert_eq!(split(&bytes).collect::<Vec<_>>(), data);
    }
}
