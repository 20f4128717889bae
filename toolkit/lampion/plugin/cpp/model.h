// SPDX-License-Identifier: GPL-2.0-or-later
// What the pair styles know of a model: a C interface, so that the part that knows LAMMPS and the part that knows
// libtorch share no C++ type, and each is compiled against one of the two alone.
//
// Lengths in Å, energies in eV, forces in eV/Å.

#ifndef LAMPION_MODEL_H
#define LAMPION_MODEL_H

#include <stdint.h>

#define LAMPION_INTERFACE 1

extern "C" {

enum lampion_kind { LAMPION_MACE, LAMPION_NEQUIP, LAMPION_ALLEGRO };

// What a model is. The pointers live as long as the model.
struct lampion_info {
  const char *names;           // type names in the model's order, separated by blanks
  int n_types;
  double r_max;                // cutoff of an edge
  const double *edge_cutoff;   // n_types × n_types, row = centre, or null where every edge has r_max
  int n_layers;                // how many edges away an atom's energy still sees
  const char *device;
};

// Edges lead from a neighbour to the centre that gathers from it. vector(edge) = x(neighbour) + shift·cell − x(centre).
struct lampion_graph {
  int64_t n_nodes, n_edges;
  const double *positions;     // n_nodes × 3
  const int64_t *types;        // n_nodes, index into the model's types
  const unsigned char *owned;  // n_nodes: 1 where the energy is counted
  const int64_t *centre, *neighbour;    // n_edges
  const double *shift;         // n_edges × 3, whole numbers, or null where all are zero
  double cell[9];              // rows are lattice vectors
};

struct lampion_result {
  double energy;               // of the owned nodes
  double virial[6];            // −∂E/∂strain: xx yy zz xy xz yz
  double *node_energy;         // n_nodes
  double *forces;              // n_nodes × 3: −∂E/∂x, of the other nodes too
};

// Every function below returns 0, or 1 with a sentence in `error`.
typedef int lampion_open_t(int kind, const char *path, int rank_on_node, int ranks_on_node, int threads, void **model,
                           struct lampion_info *info, char *error, int length);
typedef int lampion_compute_t(void *model, const struct lampion_graph *graph, int want_virial,
                              struct lampion_result *result, char *error, int length);
typedef void lampion_close_t(void *model);

struct lampion_functions {
  int interface;
  const char *torch;           // version
  lampion_open_t *open;
  lampion_compute_t *compute;
  lampion_close_t *close;
};

}

#endif
