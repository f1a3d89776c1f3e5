//! The most memory that an attempt held at once, and memory that is no longer needed.

use std::fs;

use tch::Device;

/// Counts from when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peak {
    device: Device,
    is_counted: bool,
}

impl Peak {
    /// Begins to count, with what is held now.
    pub(crate) fn begin(device: Device) -> Self {
        let is_counted = match device {
            Device::Cuda(index) => torch_ext::reset_cuda_peak(index).is_ok(),
            // proc(5): 5 sets the high-water mark to what is resident now.
            Device::Cpu => fs::write("/proc/self/clear_refs", "5").is_ok(),
            Device::Mps | Device::Vulkan => false,
        };
        Self { device, is_counted }
    }

    /// On the device; a CPU's, of the whole process. None where it cannot be had since [`Self::begin`].
    pub(crate) fn bytes(self) -> Option<u64> {
        match self.device {
            Device::Cuda(index) if self.is_counted => torch_ext::cuda_peak_bytes(index).ok(),
            Device::Cpu if self.is_counted => high_water_bytes(),
            Device::Cuda(_) | Device::Cpu | Device::Mps | Device::Vulkan => None,
        }
    }
}

fn high_water_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(1024 * kib)
}

/// Gives back what is free: a warm trainer would hold on to the largest model it ever trained.
pub(crate) fn give_back(device: Device) {
    if device.is_cuda() {
        // What cannot be given back stays for the next order.
        let _ = torch_ext::return_freed_cuda_memory();
    }
    torch_ext::return_freed_memory();
}
