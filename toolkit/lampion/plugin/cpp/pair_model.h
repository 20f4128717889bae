// SPDX-License-Identifier: GPL-2.0-or-later
// pair_style mace [no_domain_decomposition] | nequip | allegro: models that libtorch evaluates.

#ifndef LAMPION_PAIR_MODEL_H
#define LAMPION_PAIR_MODEL_H

#include "model.h"
#include "pair.h"

#include <cstdint>
#include <string>
#include <vector>

namespace LAMPION {

// Returns what libtorch's part offers, after loading it; ends LAMMPS with a sentence where that can't be.
const lampion_functions *functions(LAMMPS_NS::LAMMPS *lmp);

class PairModel : public LAMMPS_NS::Pair {
 public:
  PairModel(LAMMPS_NS::LAMMPS *lmp, lampion_kind kind);
  ~PairModel() override;
  void compute(int eflag, int vflag) override;
  void settings(int narg, char **arg) override;
  void coeff(int narg, char **arg) override;
  void init_style() override;
  double init_one(int i, int j) override;

 private:
  const lampion_kind kind;
  const char *const style;
  const lampion_functions *torch;
  void *model = nullptr;
  lampion_info info{};
  std::string path;
  std::vector<std::string> names;         // the model's types
  std::vector<int> type_of;               // LAMMPS type → model's type, −1 for NULL
  std::vector<double> cutoff_squared;     // model's type (centre) × model's type
  bool whole = false;                     // the user wrote no_domain_decomposition
  bool folded = false;                    // ghosts are their owners, seen through the boundary

  // The graph, kept between steps for its memory.
  std::vector<int> node_of, atom_of;      // LAMMPS's index → node, and back; −1 where none
  std::vector<double> positions, shift, energies, forces;
  std::vector<int64_t> types, centre, neighbour;
  std::vector<unsigned char> owned;
  std::vector<int> owner;                 // of each ghost
  std::vector<double> image;              // of each ghost, three whole numbers
  std::vector<char> listed;               // whether the neighbour list holds an atom's neighbours

  void open();
  void map_types(int narg, char **arg);
  void add_node(int atom, bool is_owned);
  void gather();
  void fold_ghosts();
  void fold();
  void widen();
  void pass_on(const lampion_result &result);
};

}    // namespace LAMPION

#endif
