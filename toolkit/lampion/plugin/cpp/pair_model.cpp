// SPDX-License-Identifier: GPL-2.0-or-later
// The part that knows LAMMPS: rules of the styles, LAMMPS's neighbours as a graph, and the way back.

#include "pair_model.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <unordered_map>

using namespace LAMMPS_NS;

namespace LAMPION {

namespace {

const char *const STYLES[] = {"mace", "nequip", "allegro"};

int threads()
{
  const char *const said = std::getenv("OMP_NUM_THREADS");
  return said ? std::max(1, std::atoi(said)) : 1;
}

}    // namespace

PairModel::PairModel(LAMMPS *lmp, lampion_kind of) : Pair(lmp), kind(of), style(STYLES[of]), torch(functions(lmp))
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_NOTAVAIL;
  ghostneigh = kind == LAMPION_MACE && comm->nprocs > 1;
}

PairModel::~PairModel()
{
  if (model) torch->close(model);
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
    memory->destroy(cutghost);
  }
}

void PairModel::settings(int narg, char **arg)
{
  if (narg == 0) return;
  if (kind != LAMPION_MACE) error->all(FLERR, "Pair style {}: takes no arguments, and {} was given", style, arg[0]);
  if (narg > 1 || strcmp(arg[0], "no_domain_decomposition") != 0)
    error->all(FLERR, "Pair style mace: takes nothing or no_domain_decomposition, not {}", arg[narg - 1]);
  whole = true;
}

void PairModel::coeff(int narg, char **arg)
{
  if (narg != 3 + atom->ntypes || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR, "Pair style {}: write pair_coeff * * FILE and one name for each of the {} atom types", style,
               atom->ntypes);
  path = arg[2];
  if (!platform::file_is_readable(path)) error->all(FLERR, "Pair style {}: {}: no such file", style, path);
  open();
  map_types(narg, arg);
}

void PairModel::open()
{
  MPI_Comm node;
  int rank = 0, ranks = 1;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Comm_rank(node, &rank);
  MPI_Comm_size(node, &ranks);
  MPI_Comm_free(&node);
  if (model) torch->close(model);
  model = nullptr;
  char said[1000] = "";
  if (torch->open(kind, path.c_str(), rank, ranks, threads(), &model, &info, said, sizeof said))
    error->one(FLERR, "Pair style {}: {}: {}", style, path, said);
  std::istringstream stream(info.names);
  names.clear();
  for (std::string name; stream >> name;) names.push_back(name);
  cutoff_squared.assign(info.n_types * info.n_types, info.r_max * info.r_max);
  if (info.edge_cutoff)
    for (size_t k = 0; k < cutoff_squared.size(); k++) cutoff_squared[k] = info.edge_cutoff[k] * info.edge_cutoff[k];
  if (comm->me == 0)
    utils::logmesg(lmp, "Pair style {}: {} on {}, torch {}, {} threads, cutoff {}, elements {}\n", style, path,
                   info.device, torch->torch, threads(), info.r_max, info.names);
}

void PairModel::map_types(int narg, char **arg)
{
  const int n = atom->ntypes;
  if (!allocated) {
    memory->create(setflag, n + 1, n + 1, "pair:setflag");
    memory->create(cutsq, n + 1, n + 1, "pair:cutsq");
    memory->create(cutghost, n + 1, n + 1, "pair:cutghost");
    allocated = 1;
  }
  type_of.assign(n + 1, -1);
  for (int k = 3; k < narg; k++) {
    if (strcmp(arg[k], "NULL") == 0) continue;
    const auto found = std::find(names.begin(), names.end(), arg[k]);
    if (found == names.end())
      error->all(FLERR, "Pair style {}: {} has no {}; its elements are {}", style, path, arg[k], info.names);
    type_of[k - 2] = static_cast<int>(found - names.begin());
  }
  for (int i = 1; i <= n; i++)
    for (int j = 1; j <= n; j++) {
      setflag[i][j] = type_of[i] >= 0 && type_of[j] >= 0;
      cutsq[i][j] = cutghost[i][j] = 0.0;
    }
}

void PairModel::init_style()
{
  if (strcmp(update->unit_style, "metal") != 0)
    error->all(FLERR, "Pair style {}: its models are in eV and Å; write units metal, not {}", style,
               update->unit_style);
  if (!atom->tag_enable) error->all(FLERR, "Pair style {}: needs atom IDs; leave out atom_modify id no", style);
  if (kind == LAMPION_NEQUIP && force->newton_pair)
    error->all(FLERR, "Pair style nequip: write newton off before the box is made");
  if (kind != LAMPION_NEQUIP && !force->newton_pair)
    error->all(FLERR, "Pair style {}: write newton on before the box is made", style);
  if (kind == LAMPION_NEQUIP && comm->nprocs > 1)
    error->all(FLERR, "Pair style nequip: runs on one MPI rank, not {}; allegro and mace run on several",
               comm->nprocs);
  if (whole && comm->nprocs > 1)
    error->all(FLERR, "Pair style mace no_domain_decomposition: runs on one MPI rank, not {}; leave the word out",
               comm->nprocs);
  if (whole && atom->map_style == 0)
    error->all(FLERR, "Pair style mace no_domain_decomposition: write atom_modify map yes before the box is made");

  folded = kind == LAMPION_NEQUIP || (kind == LAMPION_MACE && comm->nprocs == 1);
  if (folded || kind == LAMPION_ALLEGRO) {
    neighbor->add_request(this, NeighConst::REQ_FULL);
    return;
  }
  // The energy of an atom sees n_layers edges far, so ghosts must reach that far, and have neighbours themselves.
  // The list stays as thin as one edge: only the shell of ghosts is widened.
  if (comm->mode != Comm::SINGLE)
    error->all(FLERR, "Pair style mace: write comm_modify mode single, or run on one MPI rank");
  comm->cutghostuser = std::max(comm->cutghostuser, info.n_layers * info.r_max + neighbor->skin);
  neighbor->add_request(this, NeighConst::REQ_FULL | NeighConst::REQ_GHOST);
}

double PairModel::init_one(int i, int j)
{
  if (!setflag[i][j]) error->all(FLERR, "Pair style {}: pair_coeff leaves the types {} and {} out", style, i, j);
  cutghost[i][j] = cutghost[j][i] = info.r_max;
  return info.r_max;
}

void PairModel::add_node(int atom_index, bool is_owned)
{
  node_of[atom_index] = static_cast<int>(atom_of.size());
  atom_of.push_back(atom_index);
  types.push_back(type_of[atom->type[atom_index]]);
  owned.push_back(is_owned);
  positions.insert(positions.end(), atom->x[atom_index], atom->x[atom_index] + 3);
}

// Start the graph with the owned atoms that the list holds (under hybrid not all are).
void PairModel::gather()
{
  const int n_all = atom->nlocal + atom->nghost;
  node_of.assign(n_all, -1);
  atom_of.clear();
  positions.clear();
  types.clear();
  owned.clear();
  centre.clear();
  neighbour.clear();
  shift.clear();
  for (int k = 0; k < list->inum; k++)
    if (type_of[atom->type[list->ilist[k]]] >= 0) add_node(list->ilist[k], true);
}

// For each ghost: whom it is an image of, and through which boundaries. A ghost is its owner moved by whole lattice
// vectors, so rounding gives them exactly.
void PairModel::fold_ghosts()
{
  const int nlocal = atom->nlocal, nghost = atom->nghost;
  std::unordered_map<tagint, int> local(2 * nlocal);
  for (int i = 0; i < nlocal; i++) local[atom->tag[i]] = i;
  owner.resize(nghost);
  image.resize(3 * static_cast<size_t>(nghost));
  const double *const inv = domain->h_inv;
  for (int k = 0; k < nghost; k++) {
    const auto found = local.find(atom->tag[nlocal + k]);
    if (found == local.end()) error->one(FLERR, "Pair style {}: ghost atom {} has no owner", style, atom->tag[nlocal + k]);
    owner[k] = found->second;
    double d[3];
    for (int a = 0; a < 3; a++) d[a] = atom->x[nlocal + k][a] - atom->x[owner[k]][a];
    image[3 * k] = std::round(inv[0] * d[0] + inv[5] * d[1] + inv[4] * d[2]);
    image[3 * k + 1] = std::round(inv[1] * d[1] + inv[3] * d[2]);
    image[3 * k + 2] = std::round(inv[2] * d[2]);
  }
}

// One rank: every node is an owned atom, and edges carry the lattice vectors that they cross.
void PairModel::fold()
{
  fold_ghosts();
  const int nlocal = atom->nlocal, n_types = info.n_types, n_nodes = static_cast<int>(atom_of.size());
  static const double HERE[3] = {0.0, 0.0, 0.0};
  for (int node = 0; node < n_nodes; node++) {
    const int i = atom_of[node];
    const double *const xi = atom->x[i];
    const double *const cut = &cutoff_squared[types[node] * n_types];
    for (int k = 0; k < list->numneigh[i]; k++) {
      const int j = list->firstneigh[i][k] & NEIGHMASK;
      const int type = type_of[atom->type[j]];
      if (type < 0) continue;
      const double dx = atom->x[j][0] - xi[0], dy = atom->x[j][1] - xi[1], dz = atom->x[j][2] - xi[2];
      if (dx * dx + dy * dy + dz * dz >= cut[type]) continue;
      const int other = node_of[j < nlocal ? j : owner[j - nlocal]];
      if (other < 0) error->one(FLERR, "Pair style {}: atom {} is a neighbour and not in the list", style, atom->tag[j]);
      centre.push_back(node);
      neighbour.push_back(other);
      const double *const s = j < nlocal ? HERE : &image[3 * static_cast<size_t>(j - nlocal)];
      shift.insert(shift.end(), s, s + 3);
    }
  }
}

// Several ranks: ghosts are nodes. Only what the energy of an owned atom sees is taken: from the owned atoms edge by
// edge, n_layers times; the atoms reached last gather nothing themselves.
void PairModel::widen()
{
  const int n_types = info.n_types;
  listed.assign(node_of.size(), 0);
  const int n_listed = list->inum + (list->ghost ? list->gnum : 0);
  for (int k = 0; k < n_listed; k++) listed[list->ilist[k]] = 1;
  size_t begin = 0;
  for (int layer = 0; layer < info.n_layers; layer++) {
    const size_t end = atom_of.size();
    for (size_t node = begin; node < end; node++) {
      const int i = atom_of[node];
      if (!listed[i]) error->one(FLERR, "Pair style {}: the shell of ghosts is too thin; don't narrow it", style);
      const double *const xi = atom->x[i];
      const double *const cut = &cutoff_squared[types[node] * n_types];
      for (int k = 0; k < list->numneigh[i]; k++) {
        const int j = list->firstneigh[i][k] & NEIGHMASK;
        const int type = type_of[atom->type[j]];
        if (type < 0) continue;
        const double dx = atom->x[j][0] - xi[0], dy = atom->x[j][1] - xi[1], dz = atom->x[j][2] - xi[2];
        if (dx * dx + dy * dy + dz * dz >= cut[type]) continue;
        if (node_of[j] < 0) add_node(j, false);
        centre.push_back(static_cast<int64_t>(node));
        neighbour.push_back(node_of[j]);
      }
    }
    begin = end;
  }
}

void PairModel::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  if (vflag_atom)
    error->all(FLERR, "Pair style {}: has no stress per atom, so neither compute stress/atom nor a heat flux work",
               style);
  gather();
  if (atom_of.empty()) return;
  if (folded)
    fold();
  else
    widen();

  lampion_graph graph{};
  graph.n_nodes = static_cast<int64_t>(atom_of.size());
  graph.n_edges = static_cast<int64_t>(centre.size());
  graph.positions = positions.data();
  graph.types = types.data();
  graph.owned = owned.data();
  graph.centre = centre.data();
  graph.neighbour = neighbour.data();
  graph.shift = folded ? shift.data() : nullptr;
  const double *const h = domain->h;
  const double cell[9] = {h[0], 0.0, 0.0, h[5], h[1], 0.0, h[4], h[3], h[2]};
  std::copy(cell, cell + 9, graph.cell);

  lampion_result result{};
  energies.resize(atom_of.size());
  forces.resize(positions.size());
  result.node_energy = energies.data();
  result.forces = forces.data();
  char said[1000] = "";
  if (torch->compute(model, &graph, vflag_global, &result, said, sizeof said))
    error->one(FLERR, "Pair style {}: {}: {}", style, path, said);
  pass_on(result);
}

void PairModel::pass_on(const lampion_result &result)
{
  double **const f = atom->f;
  for (size_t node = 0; node < atom_of.size(); node++)
    for (int a = 0; a < 3; a++) f[atom_of[node]][a] += result.forces[3 * node + a];
  if (eflag_global) eng_vdwl += result.energy;
  if (eflag_atom)
    for (size_t node = 0; node < atom_of.size(); node++)
      if (owned[node]) eatom[atom_of[node]] += result.node_energy[node];
  if (vflag_global)
    for (int k = 0; k < 6; k++) virial[k] += result.virial[k];
}

}    // namespace LAMPION
