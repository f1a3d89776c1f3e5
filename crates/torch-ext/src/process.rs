//! Settings of the process and of the calling thread.

use std::ffi::{CStr, c_char, c_int};

use tch::Device;

use crate::{TorchError, check};

unsafe extern "C" {
    safe fn ext_version() -> *const c_char;
    safe fn ext_load_cuda() -> *mut c_char;
    safe fn ext_set_deterministic() -> *mut c_char;
    safe fn ext_set_flush_denormal() -> bool;
    safe fn ext_malloc_trim();
    safe fn ext_keep_freed_memory();
    fn ext_cuda_free_bytes(device: c_int, bytes: *mut u64) -> *mut c_char;
    safe fn ext_cuda_empty_cache() -> *mut c_char;
    safe fn ext_cuda_reset_peak(device: c_int) -> *mut c_char;
    fn ext_cuda_peak_bytes(device: c_int, bytes: *mut u64) -> *mut c_char;
    fn ext_cuda_device_name(device: c_int, name: *mut c_char, capacity: c_int) -> *mut c_char;
    safe fn ext_autocast_begin(cuda: bool) -> *mut c_char;
    safe fn ext_autocast_end(cuda: bool) -> *mut c_char;
}

/// The libtorch that this program was built with, as in `2.11.0`.
pub fn libtorch_version() -> &'static str {
    // SAFETY: a string literal of ext.cpp.
    unsafe { CStr::from_ptr(ext_version()) }.to_str().unwrap_or("unknown")
}

/// Loads libtorch's CUDA half. Call it before anything asks whether CUDA is there: the first answer
/// is kept for the life of the process.
///
/// # Errors
/// A libtorch without CUDA, or one whose CUDA libraries are not installed; the process stays usable.
pub fn load_cuda() -> Result<(), TorchError> {
    check(ext_load_cuda())
}

/// From here on, the same inputs give the same bits; an operator that cannot is an error. On CUDA
/// this must come before the first matrix product.
///
/// # Errors
/// What libtorch says.
pub fn use_deterministic_algorithms() -> Result<(), TorchError> {
    check(ext_set_deterministic())
}

/// Denormal numbers count as zero on this thread and on those it starts; false where the processor
/// cannot. Optimiser moments that decay towards zero are slow otherwise.
pub fn flush_denormals() -> bool {
    ext_set_flush_denormal()
}

/// The heap keeps what is freed: the next step needs the same sizes again. Call it before memory is
/// used; [`return_freed_memory`] still gives everything back.
pub fn keep_freed_memory() {
    ext_keep_freed_memory();
}

/// Memory that is free on a CUDA device, of all processes.
///
/// # Errors
/// What libtorch says.
pub fn cuda_free_bytes(device: usize) -> Result<u64, TorchError> {
    let mut bytes = 0;
    // SAFETY: `bytes` lives for the length of the call.
    check(unsafe { ext_cuda_free_bytes(ordinal(device), &raw mut bytes) })?;
    Ok(bytes)
}

/// Gives CUDA memory that no tensor of this process uses back to its devices, for other processes.
///
/// # Errors
/// What libtorch says.
pub fn return_freed_cuda_memory() -> Result<(), TorchError> {
    check(ext_cuda_empty_cache())
}

/// Begins to count for [`cuda_peak_bytes`], with what is held now.
///
/// # Errors
/// What libtorch says.
pub fn reset_cuda_peak(device: usize) -> Result<(), TorchError> {
    check(ext_cuda_reset_peak(ordinal(device)))
}

/// The most memory that tensors of this process have held on a CUDA device since [`reset_cuda_peak`],
/// what the allocator kept for the next ones included; the context and its kernels are not.
///
/// # Errors
/// What libtorch says.
pub fn cuda_peak_bytes(device: usize) -> Result<u64, TorchError> {
    let mut bytes = 0;
    // SAFETY: `bytes` lives for the length of the call.
    check(unsafe { ext_cuda_peak_bytes(ordinal(device), &raw mut bytes) })?;
    Ok(bytes)
}

/// What the maker calls a CUDA device.
///
/// # Errors
/// No driver, or no such device.
pub fn cuda_device_name(device: usize) -> Result<String, TorchError> {
    let mut name: [c_char; 256] = [0; 256];
    // SAFETY: the driver writes at most the capacity it is told, one byte less than the buffer has.
    check(unsafe { ext_cuda_device_name(ordinal(device), name.as_mut_ptr(), 255) })?;
    // SAFETY: the last byte is still the zero it was made with.
    Ok(unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
}

/// No machine has this many; an absurd number is refused by libtorch.
fn ordinal(device: usize) -> c_int {
    c_int::try_from(device).unwrap_or(c_int::MAX)
}

/// Gives freed heap memory back to the system. The allocator keeps it otherwise, and a warm trainer
/// would hold on to the largest model it ever trained.
pub fn return_freed_memory() {
    ext_malloc_trim();
}

/// Forward passes on this thread compute matrix products in bfloat16 while this lives.
#[derive(Debug)]
pub struct Autocast {
    cuda: bool,
}

impl Autocast {
    /// # Errors
    /// What libtorch says.
    pub fn bf16(device: Device) -> Result<Self, TorchError> {
        let cuda = device.is_cuda();
        check(ext_autocast_begin(cuda))?;
        Ok(Self { cuda })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // Undoing what `bf16` did cannot fail, and a destructor has nobody to tell.
        let _ = check(ext_autocast_end(self.cuda));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    #[test]
    fn the_version_is_the_pinned_one() {
        assert_eq!(libtorch_version(), "2.11.0");
    }

    #[test]
    fn autocast_lasts_as_long_as_its_guard() {
        let a = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
        let guard = Autocast::bf16(Device::Cpu).unwrap();
        assert_eq!(a.matmul(&a).kind(), Kind::BFloat16);
        drop(guard);
        assert_eq!(a.matmul(&a).kind(), Kind::Float);
    }

    /// Here as on every machine without a GPU: the calls are there, and refuse in words.
    #[test]
    fn memory_of_a_device_that_is_not_there_is_an_error() {
        let _not_there = load_cuda();
        assert!(reset_cuda_peak(999).is_err());
        assert!(cuda_peak_bytes(999).is_err());
    }

    #[test]
    fn denormals_are_flushed_to_zero() {
        if flush_denormals() {
            let tiny = Tensor::from_slice(&[f32::MIN_POSITIVE]) * 0.5;
            assert_eq!(tiny.double_value(&[0]), 0.0);
        }
    }
}
