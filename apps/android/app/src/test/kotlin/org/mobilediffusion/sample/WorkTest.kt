package org.mobilediffusion.sample

import org.mobilediffusion.sample.benchmark.BenchmarkState
import org.mobilediffusion.sample.draw.DrawState
import org.mobilediffusion.sample.draw.Phase
import org.mobilediffusion.sample.models.InstallState
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull

class WorkTest {
    private val drawing = DrawState(Phase.Drawing(1, 8))

    @Test
    fun `whatever is under way keeps the process, a model's arrival first`() {
        val comparing = BenchmarkState.Comparing("m")
        assertEquals(Work.INSTALL, Work.of(drawing, InstallState.Unpacking(1), comparing))
        assertEquals(Work.DRAW, Work.of(drawing, InstallState.Idle, comparing))
        assertEquals(Work.MEASURE, Work.of(DrawState(), InstallState.Done("m"), comparing))
    }

    @Test
    fun `what has ended keeps nothing`() {
        assertNull(Work.of(DrawState(Phase.Cancelled), InstallState.Failed("x"), BenchmarkState.Idle))
    }

    @Test
    fun `how warm a phone is has a word`() {
        assertEquals(listOf("none", "severe", "shutdown", "9"), listOf(0, 3, 6, 9).map(::thermalWord))
    }
}
