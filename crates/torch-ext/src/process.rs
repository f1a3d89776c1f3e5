//! Settings of the process and of the calling thread.

use std::ffi::{CStr, c_char};

use tch::Device;

use crate::{TorchError, check};

unsafe extern "C" {
    safe fn ext_version() -> *const c_char;
    safe fn ext_load_cuda() -> *mut c_char;
    safe fn ext_set_deterministic() -> *mut c_char;
    safe fn ext_set_flush_denormal() -> bool;
    safe fn ext_malloc_trim();
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

    #[test]
    fn denormals_are_flushed_to_zero() {
        if flush_denormals() {
            let tiny = Tensor::from_slice(&[f32::MIN_POSITIVE]) * 0.5;
            assert_eq!(tiny.double_value(&[0]), 0.0);
        }
    }
}
