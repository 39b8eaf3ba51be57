import type { Command } from 'commander';

/**
 * Commands by name, in the order in which --help has them. Each brings what it runs on (sessions, gRPC, drawing), which takes
 * most of a short command's time to load: only the one that is called is loaded.
 */
export const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  train: async () => (await import('./train.js')).registerTrain,
  recipes: async () => (await import('./recipes.js')).registerRecipes,
  runs: async () => (await import('./runs.js')).registerRuns,
  export: async () => (await import('./export.js')).registerExport,
  import: async () => (await import('./import.js')).registerImport,
  evaluate: async () => (await import('./evaluate.js')).registerEvaluate,
  serve: async () => (await import('./serve.js')).registerServe,
  token: async () => (await import('./token.js')).registerToken,
  health: async () => (await import('./health.js')).registerHealth,
  embed: async () => (await import('./embed.js')).registerEmbed,
  features: async () => (await import('./features.js')).registerFeatures,
  match: async () => (await import('./match.js')).registerMatch,
  model: async () => (await import('./model.js')).registerModel,
  models: async () => (await import('./models.js')).registerModels,
  cuda: async () => (await import('./cuda.js')).registerCuda,
  bench: async () => (await import('./bench.js')).registerBench,
};
