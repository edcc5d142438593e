// Reads a list of simulations on stdin and writes, for each, "Allowed", a denial, or its errors.
import { runSimulation } from '@cloud-copilot/iam-simulate'

let text = ''
for await (const chunk of process.stdin) text += chunk
const answers = []
for (const simulation of JSON.parse(text)) {
  const answer = await runSimulation(simulation, {})
  answers.push(answer.overallResult ?? answer.analysis?.result ?? JSON.stringify(answer))
}
process.stdout.write(JSON.stringify(answers))
