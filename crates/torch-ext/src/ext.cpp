// The libtorch calls that tch lacks. Every function that can throw returns null, or a message that
// the caller frees with ext_free; no exception crosses into Rust.
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/version.h>

#include <cstdlib>
#include <cstring>
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace {
template <typename F>
char* caught(F body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error& error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

std::optional<at::Tensor> optional(const at::Tensor* tensor) {
  return tensor ? std::optional<at::Tensor>(*tensor) : std::nullopt;
}

// Its functions are virtual: libtorch_cuda need not be linked.
c10::DeviceAllocator* cuda_allocator() {
  at::globalContext().lazyInitDevice(at::kCUDA);
  return at::getDeviceAllocator(at::kCUDA);
}
}  // namespace

extern "C" {

void ext_free(char* message) { free(message); }

const char* ext_version() { return TORCH_VERSION; }

// libtorch_cuda registers itself when it is loaded; it must be, before anything asks for CUDA.
char* ext_load_cuda() {
  for (const char* name : {"libc10_cuda.so", "libtorch_cuda.so"})
    if (!dlopen(name, RTLD_NOW | RTLD_GLOBAL)) return strdup(dlerror());
  return nullptr;
}

char* ext_cuda_free_bytes(int device, uint64_t* bytes) {
  return caught([=] { *bytes = cuda_allocator()->getMemoryInfo(static_cast<c10::DeviceIndex>(device)).first; });
}

char* ext_cuda_empty_cache() {
  return caught([] { cuda_allocator()->emptyCache(); });
}

char* ext_cuda_reset_peak(int device) {
  return caught([=] { cuda_allocator()->resetPeakStats(static_cast<c10::DeviceIndex>(device)); });
}

char* ext_cuda_peak_bytes(int device, uint64_t* bytes) {
  return caught([=] {
    const auto stats = cuda_allocator()->getDeviceStats(static_cast<c10::DeviceIndex>(device));
    *bytes = stats.reserved_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
  });
}

// From the driver's library, which any process with CUDA has loaded: libtorch's own question is not
// in the libraries that this program links.
char* ext_cuda_device_name(int device, char* name, int capacity) {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW);
  if (!driver) return strdup(dlerror());
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto get = reinterpret_cast<int (*)(int*, int)>(dlsym(driver, "cuDeviceGet"));
  const auto get_name = reinterpret_cast<int (*)(char*, int, int)>(dlsym(driver, "cuDeviceGetName"));
  int handle = 0;
  if (!init || !get || !get_name || init(0) || get(&handle, device) || get_name(name, capacity, handle))
    return strdup("the CUDA driver does not name this device");
  return nullptr;
}

// New memory is not filled: our code reads nothing that it has not written.
char* ext_set_deterministic() {
  return caught([] {
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
    auto& context = at::globalContext();
    context.setDeterministicAlgorithms(true, /*warn_only=*/false);
    context.setDeterministicFillUninitializedMemory(false);
    context.setDeterministicCuDNN(true);
    context.setBenchmarkCuDNN(false);
  });
}

bool ext_set_flush_denormal() { return at::globalContext().setFlushDenormal(true); }

// What one step frees, the next one needs: neither give it back nor map it anew. 32 MiB is glibc's limit.
void ext_keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

void ext_malloc_trim() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

char* ext_autocast_begin(bool cuda) {
  return caught([cuda] {
    const auto device = cuda ? at::kCUDA : at::kCPU;
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::increment_nesting();
  });
}

char* ext_autocast_end(bool cuda) {
  return caught([cuda] {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(cuda ? at::kCUDA : at::kCPU, false);
  });
}

char* ext_fused_adamw(at::Tensor* param, at::Tensor* grad, at::Tensor* exp_avg, at::Tensor* exp_avg_sq,
                      at::Tensor* step, double lr, double beta1, double beta2, double weight_decay, double eps,
                      at::Tensor* grad_scale) {
  return caught([=] {
    at::_fused_adamw_(*param, *grad, *exp_avg, *exp_avg_sq, {}, *step, lr, beta1, beta2, weight_decay, eps,
                      /*amsgrad=*/false, /*maximize=*/false, optional(grad_scale), {});
  });
}

char* ext_fused_sgd(at::Tensor* param, at::Tensor* grad, at::Tensor* momentum_buffer, double lr, double momentum,
                    double weight_decay, bool nesterov, at::Tensor* grad_scale) {
  return caught([=] {
    const auto buffers = momentum_buffer ? at::TensorList(*momentum_buffer) : at::TensorList();
    at::_fused_sgd_(*param, *grad, buffers, weight_decay, momentum, lr, /*dampening=*/0.0, nesterov,
                    /*maximize=*/false, /*is_first_step=*/false, optional(grad_scale), {});
  });
}

// Fills `gradients` with new tensors that the caller owns; null where `output` does not depend on the input.
char* ext_vjp(at::Tensor* output, at::Tensor* gradient, at::Tensor** inputs, size_t count, at::Tensor** gradients) {
  return caught([=] {
    torch::autograd::variable_list leaves;
    for (size_t at = 0; at < count; ++at) leaves.push_back(*inputs[at]);
    const auto found = torch::autograd::grad({*output}, leaves, {*gradient}, /*retain_graph=*/false,
                                             /*create_graph=*/false, /*allow_unused=*/true);
    for (size_t at = 0; at < count; ++at)
      if (found[at].defined()) gradients[at] = new at::Tensor(found[at]);
  });
}

}  // extern "C"
