// SPDX-License-Identifier: GPL-2.0-or-later
// The plugin that LAMMPS loads at its start. It tells LAMMPS of the pair styles and loads libtorch only when one of
// them is made, so that a folder with this file on LAMMPS_PLUGIN_PATH costs other runs nothing.

#include "pair_model.h"

#include "error.h"
#include "lammps.h"

#include <dlfcn.h>
#include <link.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <string>

using namespace LAMMPS_NS;

// What LAMMPS and a plugin agree on (LAMMPS's manual, "Writing plugins"): declared here because the header of it is
// not among those that LAMMPS installs.
extern "C" {
typedef void *lampion_make_pair(void *);
typedef void *lampion_make_other(void *, int, char **);
struct lampion_plugin {
  const char *version, *style, *name, *info, *author;
  union {
    lampion_make_pair *v1;
    lampion_make_other *v2;
  } creator;
  void *handle;
};
typedef void lampion_register(lampion_plugin *, void *);
}

namespace LAMPION {

namespace {

// LAMMPS's classes have other layouts in another LAMMPS, though it may print the same version.
void require_same_lammps(LAMMPS *lmp)
{
  const char *const here = LAMMPS::git_descriptor();
  if (strcmp(here, LAMPION_LAMMPS_GIT) != 0)
    lmp->error->all(FLERR,
                    "Lampion's plugin was compiled for LAMMPS {} and this is {}; compile it for this one with: "
                    "lampion plugin build mace",
                    LAMPION_LAMMPS_GIT, here);
}

std::string resolved(const char *path)
{
  char whole[PATH_MAX];
  return realpath(path, whole) ? whole : path;
}

int other_torch(dl_phdr_info *object, size_t, void *found)
{
  const char *const base = strrchr(object->dlpi_name, '/');
  if (!base || strncmp(base, "/libtorch_cpu.so", 16) != 0) return 0;
  const std::string path = resolved(object->dlpi_name);
  if (path == resolved(LAMPION_TORCH_LIB "/libtorch_cpu.so")) return 0;
  *static_cast<std::string *>(found) = path;
  return 1;
}

std::string beside_us(const char *name)
{
  Dl_info here;
  if (!dladdr(reinterpret_cast<void *>(&require_same_lammps), &here)) return name;
  const std::string path = resolved(here.dli_fname);
  return path.substr(0, path.rfind('/') + 1) + name;
}

}    // namespace

const lampion_functions *functions(LAMMPS *lmp)
{
  static const lampion_functions *loaded = nullptr;
  require_same_lammps(lmp);
  if (loaded) return loaded;
  std::string other;
  dl_iterate_phdr(other_torch, &other);
  if (!other.empty())
    lmp->error->all(FLERR,
                    "another plugin has loaded {}, and this pair style needs the libtorch in {}: one LAMMPS can hold "
                    "one of them, so run them apart",
                    other, LAMPION_TORCH_LIB);
  const std::string path = beside_us("liblampion_torch.so");
  void *const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    lmp->error->all(FLERR, "libtorch can't be loaded ({}); compile again with: lampion plugin build mace", dlerror());
  using Entry = const lampion_functions *();
  auto *const entry = reinterpret_cast<Entry *>(dlsym(library, "lampion_model_functions"));
  if (!entry || entry()->interface != LAMPION_INTERFACE)
    lmp->error->all(FLERR, "{}: is of another Lampion; compile again with: lampion plugin build mace", path);
  loaded = entry();
  return loaded;
}

}    // namespace LAMPION

extern "C" {

static void *make_mace(void *lmp) { return new LAMPION::PairModel(static_cast<LAMMPS *>(lmp), LAMPION_MACE); }
static void *make_nequip(void *lmp) { return new LAMPION::PairModel(static_cast<LAMMPS *>(lmp), LAMPION_NEQUIP); }
static void *make_allegro(void *lmp) { return new LAMPION::PairModel(static_cast<LAMMPS *>(lmp), LAMPION_ALLEGRO); }

void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
  lampion_plugin plugin;
  plugin.version = LAMPION_LAMMPS_VERSION;
  plugin.style = "pair";
  plugin.author = "Lampion";
  plugin.handle = handle;
  auto *const tell = reinterpret_cast<lampion_register *>(regfunc);
  plugin.name = "mace";
  plugin.info = "MACE models (Lampion)";
  plugin.creator.v1 = &make_mace;
  tell(&plugin, lmp);
  plugin.name = "nequip";
  plugin.info = "NequIP models (Lampion)";
  plugin.creator.v1 = &make_nequip;
  tell(&plugin, lmp);
  plugin.name = "allegro";
  plugin.info = "Allegro models (Lampion)";
  plugin.creator.v1 = &make_allegro;
  tell(&plugin, lmp);
}
}
