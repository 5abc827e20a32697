// minnow plugins [--why] [--json]
#include "cli/cli.h"
#include "formats/printable.h"

namespace minnow::cli {

namespace {

struct Options {
  std::vector<std::string> dirs;
  bool why = false, json = false;
};

VerbResult Run(const Options& o) {
  plugins::Registry registry =
      plugins::Registry::Scan(plugins::RegistryOptions::FromEnvironment(o.dirs));
  if (o.why || o.json) registry.LoadAll();
  const std::vector<plugins::DeviceInfo> devices = registry.Devices();  // may refuse more plugins
  if (o.json) {
    Print(registry.WhyJson() + "\n");
  } else if (o.why) {
    Print(registry.WhyText());
  } else {
    for (const plugins::Found& p : registry.plugins()) {
      if (p.state != plugins::PluginState::kRefused)
        Print(fmt::format("{:<9} {:<20} {}\n", p.kind, p.id, formats::Printable(p.path, 4096)));
    }
    for (const plugins::DeviceInfo& d : devices)
      Print(fmt::format("device    {:<20} {}\n", d.id, d.description));
  }
  return kExitOk;
}

}  // namespace

void AddPlugins(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb =
      line.AddVerb("plugins", "The plugins and devices of this machine", [o] { return Run(*o); });
  verb.Add("--plugin-dir", o->dirs, "More folders with plugins (absolute)");
  verb.AddFlag("--why", o->why, "Every file found, and why it is not used");
  verb.AddFlag("--json", o->json, "JSON list of every file found");
}

}  // namespace minnow::cli
