// SPDX-License-Identifier: GPL-2.0-or-later
// The part that knows libtorch: opens an exported model and computes a graph with it. It knows nothing of LAMMPS.

#include "model.h"

#include <ATen/Parallel.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/cuda.h>
#include <torch/script.h>
#include <torch/version.h>

#include <cstring>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

const char *const SYMBOLS[] = {
    "",   "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg", "Al", "Si", "P",  "S",
    "Cl", "Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As",
    "Se", "Br", "Kr", "Rb", "Sr", "Y",  "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn",
    "Sb", "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho",
    "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po",
    "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md",
    "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og"};

using Tensors = std::map<std::string, torch::Tensor>;

[[noreturn]] void refuse(const std::string &sentence) { throw std::runtime_error(sentence); }

struct Model {
  int kind = 0;
  torch::Device device = torch::kCPU;
  torch::Dtype dtype = torch::kFloat64;
  torch::jit::Module module;
  std::unique_ptr<torch::inductor::AOTIModelPackageLoader> package;    // in place of `module`, for a .pt2
  std::vector<std::string> inputs, outputs;                           // of the package, in its order
  std::string names, device_name;
  std::vector<double> edge_cutoff;
  lampion_info info{};

  torch::Tensor whole(const int64_t *values, std::vector<int64_t> shape) const
  {
    return torch::from_blob(const_cast<int64_t *>(values), shape, torch::kInt64).to(device);
  }
  torch::Tensor real(const double *values, std::vector<int64_t> shape, torch::Dtype as) const
  {
    // clone: the models change what they are given, and from_blob alone would let them change LAMMPS's numbers.
    return torch::from_blob(const_cast<double *>(values), shape, torch::kFloat64).to(device, as, false, true);
  }
};

std::vector<std::string> words(const std::string &text)
{
  std::istringstream stream(text);
  std::vector<std::string> found;
  for (std::string word; stream >> word;) found.push_back(word);
  return found;
}

bool ends_with(const std::string &text, const std::string &tail)
{
  return text.size() >= tail.size() && text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

torch::Device device_for(int rank_on_node, int ranks_on_node)
{
  const int n = torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0;
  if (n == 0) return torch::kCPU;
  if (ranks_on_node > n)
    refuse(std::to_string(ranks_on_node) + " ranks on a node with " + std::to_string(n) +
           " GPUs; start one rank for each GPU, or hide the GPUs with CUDA_VISIBLE_DEVICES=");
  return torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(rank_on_node));
}

void open_mace(Model &model, const std::string &path)
{
  model.module = torch::jit::load(path, model.device);
  for (const char *name : {"atomic_numbers", "r_max", "num_interactions"})
    if (!model.module.hasattr(name))
      refuse("is TorchScript, but no MACE export (it has no " + std::string(name) +
             "); make one with: lampion model export");
  model.module.eval();
  const auto r_max = model.module.attr("r_max").toTensor();
  model.dtype = r_max.scalar_type();
  model.info.r_max = r_max.to(torch::kCPU, torch::kFloat64).item<double>();
  model.info.n_layers = static_cast<int>(model.module.attr("num_interactions").toTensor().item<int64_t>());
  const auto numbers = model.module.attr("atomic_numbers").toTensor().to(torch::kCPU, torch::kInt64).contiguous();
  for (int64_t k = 0; k < numbers.numel(); k++) {
    const int64_t z = numbers.data_ptr<int64_t>()[k];
    if (z < 1 || z > 118) refuse("names the atomic number " + std::to_string(z));
    model.names += (k ? " " : "") + std::string(SYMBOLS[z]);
  }
}

void take_metadata(Model &model, std::map<std::string, std::string> data)
{
  if (data["r_max"].empty() || data["type_names"].empty())
    refuse("holds no r_max and type_names, so it is no NequIP export; make one with: lampion model export");
  model.info.r_max = std::stod(data["r_max"]);
  model.names = data["type_names"];
  for (const auto &word : words(data["per_edge_type_cutoff"])) model.edge_cutoff.push_back(std::stod(word));
  model.info.n_layers = 1;    // Allegro sees no further; NequIP's graph is folded, whatever its layers
  const bool tf32 = data["allow_tf32"] == "1";
  at::globalContext().setAllowTF32CuBLAS(tf32);
  at::globalContext().setAllowTF32CuDNN(tf32);
}

void check_processor(const std::string &wanted)
{
#if defined(__x86_64__)
  for (const auto &word : words(wanted)) {
    const bool has = word == "AVX512" ? (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
        : word == "AVX512_VNNI"       ? __builtin_cpu_supports("avx512vnni") != 0
        : word == "AVX2"              ? __builtin_cpu_supports("avx2") != 0
                                      : true;
    if (!has)
      refuse("was compiled for a processor with " + word + ", which this one lacks; export it again on this machine");
  }
#endif
}

void open_nequip(Model &model, const std::string &path)
{
  if (ends_with(path, ".nequip.pt2")) {
    auto data = torch::inductor::AOTIModelPackageLoader::load_metadata_from_package(path, "model");
    const std::string made_for = data["AOTI_DEVICE_KEY"];
    if (made_for == "cuda" && !model.device.is_cuda())
      refuse("was compiled for a GPU and libtorch sees none here; export it again with --device cpu");
    if (made_for == "cpu") model.device = torch::kCPU;
    check_processor(data["AOTI_CPU_ISA"]);
    model.package = std::make_unique<torch::inductor::AOTIModelPackageLoader>(
        path, "model", false, 1, model.device.is_cuda() ? model.device.index() : static_cast<c10::DeviceIndex>(-1));
    take_metadata(model, {data.begin(), data.end()});
    model.inputs = words(data["nequip_aoti_inputs"]);
    model.outputs = words(data["nequip_aoti_outputs"]);
    if (model.inputs.empty()) model.inputs = {"pos", "edge_index", "atom_types"};
    if (model.inputs.size() == 3 && data["nequip_aoti_inputs"].empty() && model.kind == LAMPION_NEQUIP) {
      model.inputs.push_back("cell");
      model.inputs.push_back("edge_cell_shift");
    }
    if (model.outputs.empty()) model.outputs = {"atomic_energy", "forces", "virial"};
  } else if (ends_with(path, ".nequip.pth")) {
    std::unordered_map<std::string, std::string> data = {{"r_max", ""},      {"type_names", ""},
                                                         {"model_dtype", ""}, {"per_edge_type_cutoff", ""},
                                                         {"allow_tf32", ""}, {"num_types", ""}};
    model.module = torch::jit::load(path, model.device, data);
    model.module.eval();
    if (model.module.hasattr("training")) model.module = torch::jit::freeze(model.module);
    take_metadata(model, {data.begin(), data.end()});
  } else {
    refuse("must be named *.nequip.pt2 or *.nequip.pth; make it with: lampion model export");
  }
}

void compute_mace(Model &model, const lampion_graph &graph, bool want_virial, lampion_result &result)
{
  const int64_t n = graph.n_nodes, e = graph.n_edges;
  const auto on = torch::TensorOptions().device(model.device);
  const auto cell = model.real(graph.cell, {3, 3}, model.dtype);
  const auto types = model.whole(graph.types, {n});
  const auto edges = torch::stack({model.whole(graph.neighbour, {e}), model.whole(graph.centre, {e})});
  // MACE's edge vector is x(receiver) − x(sender) + shift, and the sender is the shifted one: hence the sign.
  const auto unit = graph.shift ? model.real(graph.shift, {e, 3}, model.dtype).neg_()
                                : torch::zeros({e, 3}, on.dtype(model.dtype));
  c10::Dict<std::string, torch::Tensor> data;
  data.insert("positions", model.real(graph.positions, {n, 3}, model.dtype));
  data.insert("node_attrs", torch::one_hot(types, model.info.n_types).to(model.dtype));
  data.insert("edge_index", edges);
  data.insert("unit_shifts", unit);
  data.insert("shifts", torch::matmul(unit, cell));
  data.insert("cell", cell);
  data.insert("batch", torch::zeros({n}, on.dtype(torch::kInt64)));
  data.insert("ptr", torch::tensor({static_cast<int64_t>(0), n}, torch::kInt64).to(model.device));
  const auto owned =
      torch::from_blob(const_cast<unsigned char *>(graph.owned), {n}, torch::kUInt8).to(model.device, torch::kBool);

  const auto out = model.module.forward({data, owned, want_virial}).toGenericDict();
  const auto host = [&out](const char *name) {
    return out.at(name).toTensor().detach().to(torch::kCPU, torch::kFloat64).contiguous();
  };
  const auto energies = host("node_energy"), forces = host("forces");
  std::memcpy(result.node_energy, energies.data_ptr<double>(), n * sizeof(double));
  std::memcpy(result.forces, forces.data_ptr<double>(), 3 * n * sizeof(double));
  if (want_virial) {
    const auto v = host("virials");
    const double *w = v.data_ptr<double>();
    const double six[6] = {w[0], w[4], w[8], 0.5 * (w[1] + w[3]), 0.5 * (w[2] + w[6]), 0.5 * (w[5] + w[7])};
    std::memcpy(result.virial, six, sizeof six);
  }
}

// A compiled model was made for two or more atoms and edges. What lacks is filled with two atoms further apart than
// the cutoff, so that they add nothing but their own energies, which nobody reads.
void pad(Tensors &in, const Model &model)
{
  if (in["pos"].size(0) >= 2 && in["edge_index"].size(1) >= 2) return;
  const int64_t a = in["pos"].size(0);
  auto far = in["pos"].new_zeros({2, 3});
  far.index_put_({1, 0}, 1.5 * model.info.r_max);
  in["pos"] = torch::cat({in["pos"], far});
  in["atom_types"] = torch::cat({in["atom_types"], in["atom_types"].new_zeros({2})});
  auto edges = torch::tensor({a, a + 1, a + 1, a}, torch::kInt64).view({2, 2}).to(model.device);
  in["edge_index"] = torch::cat({in["edge_index"], edges}, 1);
  in["edge_cell_shift"] = torch::cat({in["edge_cell_shift"], in["edge_cell_shift"].new_zeros({2, 3})});
}

Tensors run_nequip(Model &model, Tensors &in)
{
  Tensors out;
  if (model.package) {
    pad(in, model);
    std::vector<torch::Tensor> given;
    for (const auto &name : model.inputs) {
      if (!in.count(name)) refuse("wants the input " + name + ", which these pair styles don't give");
      given.push_back(in[name]);
    }
    const auto got = model.package->run(given);
    for (size_t k = 0; k < model.outputs.size() && k < got.size(); k++) out[model.outputs[k]] = got[k];
    return out;
  }
  c10::Dict<std::string, torch::Tensor> data;
  for (const auto &item : in) {
    const bool cell = item.first == "cell" || item.first == "edge_cell_shift";
    if (!cell || model.kind == LAMPION_NEQUIP) data.insert(item.first, item.second);
  }
  for (const auto &item : model.module.forward({data}).toGenericDict())
    if (item.value().isTensor()) out[item.key().toStringRef()] = item.value().toTensor();
  return out;
}

void compute_nequip(Model &model, const lampion_graph &graph, lampion_result &result)
{
  const int64_t n = graph.n_nodes, e = graph.n_edges;
  const auto on = torch::TensorOptions().device(model.device).dtype(torch::kFloat64);
  Tensors in;
  in["pos"] = model.real(graph.positions, {n, 3}, torch::kFloat64);
  in["edge_index"] = torch::stack({model.whole(graph.centre, {e}), model.whole(graph.neighbour, {e})});
  in["atom_types"] = model.whole(graph.types, {n});
  in["cell"] = model.real(graph.cell, {1, 3, 3}, torch::kFloat64);
  in["edge_cell_shift"] =
      graph.shift ? model.real(graph.shift, {e, 3}, torch::kFloat64) : torch::zeros({e, 3}, on);

  const auto out = run_nequip(model, in);
  const auto host = [&out](const char *name) {
    const auto found = out.find(name);
    if (found == out.end()) refuse(std::string("returns no ") + name + "; export it again for LAMMPS");
    return found->second.detach().to(torch::kCPU, torch::kFloat64).contiguous();
  };
  const auto energies = host("atomic_energy"), forces = host("forces"), virial = host("virial");
  std::memcpy(result.node_energy, energies.data_ptr<double>(), n * sizeof(double));
  std::memcpy(result.forces, forces.data_ptr<double>(), 3 * n * sizeof(double));
  const double *w = virial.data_ptr<double>();
  const double six[6] = {w[0], w[4], w[8], w[1], w[2], w[5]};
  std::memcpy(result.virial, six, sizeof six);
}

// The first line of what was thrown: libtorch's own are pages long.
int say(const std::exception &what, char *error, int length)
{
  std::string text = what.what();
  if (text.find("constants.pkl") != std::string::npos)
    text = "is no exported model (a raw checkpoint?); make one with: lampion model export";
  else if (text.find("failed finding central directory") != std::string::npos ||
           text.find("failed reading zip archive") != std::string::npos)
    text = "is no model file, or a truncated one";
  text = text.substr(0, text.find('\n'));
  std::strncpy(error, text.c_str(), length - 1);
  error[length - 1] = '\0';
  return 1;
}

int open(int kind, const char *path, int rank_on_node, int ranks_on_node, int threads, void **handle,
         lampion_info *info, char *error, int length)
{
  try {
    auto model = std::make_unique<Model>();
    model->kind = kind;
    model->device = device_for(rank_on_node, ranks_on_node);
    // Without this libtorch takes every core, and its threads fight those of LAMMPS.
    at::set_num_threads(threads);
    torch::jit::FusionStrategy dynamic = {{torch::jit::FusionBehavior::DYNAMIC, 10}};
    torch::jit::setFusionStrategy(dynamic);
    if (kind == LAMPION_MACE)
      open_mace(*model, path);
    else
      open_nequip(*model, path);
    model->device_name = model->device.str();
    model->info.names = model->names.c_str();
    model->info.n_types = static_cast<int>(words(model->names).size());
    model->info.device = model->device_name.c_str();
    const size_t square = static_cast<size_t>(model->info.n_types) * model->info.n_types;
    if (!model->edge_cutoff.empty() && model->edge_cutoff.size() != square)
      refuse("has " + std::to_string(model->edge_cutoff.size()) + " cutoffs for " + model->names);
    model->info.edge_cutoff = model->edge_cutoff.empty() ? nullptr : model->edge_cutoff.data();
    *info = model->info;
    *handle = model.release();
    return 0;
  } catch (const std::exception &what) {
    return say(what, error, length);
  }
}

int compute(void *handle, const lampion_graph *graph, int want_virial, lampion_result *result, char *error, int length)
{
  try {
    Model &model = *static_cast<Model *>(handle);
    std::memset(result->virial, 0, sizeof result->virial);
    if (model.kind == LAMPION_MACE)
      compute_mace(model, *graph, want_virial != 0, *result);
    else
      compute_nequip(model, *graph, *result);
    result->energy = 0.0;
    for (int64_t k = 0; k < graph->n_nodes; k++)
      if (graph->owned[k]) result->energy += result->node_energy[k];
    return 0;
  } catch (const std::exception &what) {
    return say(what, error, length);
  }
}

void close(void *handle) { delete static_cast<Model *>(handle); }

const lampion_functions FUNCTIONS = {LAMPION_INTERFACE, TORCH_VERSION, open, compute, close};

}    // namespace

extern "C" const lampion_functions *lampion_model_functions() { return &FUNCTIONS; }
