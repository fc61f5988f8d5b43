package org.mobilediffusion.sample

import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.Service
import android.content.Context
import android.content.Intent
import android.os.Build
import android.os.IBinder
import android.util.Log

/**
 * Keeps the process alive while something is drawn, measured or installed and no screen is shown.
 *
 * It does nothing itself: the work belongs to the [SampleApplication], which starts and stops this.
 */
class WorkService : Service() {
    override fun onBind(intent: Intent?): IBinder? = null

    override fun onStartCommand(
        intent: Intent?,
        flags: Int,
        startId: Int,
    ): Int {
        running = this
        startForeground(NOTIFICATION, notification(wanted ?: Work.DRAW)) // even if the work has ended: Android insists
        if (wanted == null) stopSelf()
        return START_NOT_STICKY
    }

    override fun onDestroy() {
        running = null
        super.onDestroy()
    }

    private fun notification(work: Work): Notification =
        builder()
            .setSmallIcon(R.drawable.icon_draw)
            .setContentTitle(getString(nameOf(work)))
            .setOngoing(true)
            .build()

    @Suppress("DEPRECATION") // channels came with Android 8
    private fun builder(): Notification.Builder {
        if (Build.VERSION.SDK_INT < 26) return Notification.Builder(this)
        val manager = getSystemService(Context.NOTIFICATION_SERVICE) as NotificationManager
        val name = getString(R.string.work)
        manager.createNotificationChannel(NotificationChannel(WORK, name, NotificationManager.IMPORTANCE_LOW))
        return Notification.Builder(this, WORK)
    }

    companion object {
        private const val WORK = "work"
        private const val NOTIFICATION = 1

        private var wanted: Work? = null
        private var running: WorkService? = null

        /** Shows that this work goes on; null ends it.  A system that forbids it now leaves the work unprotected.  On the main thread. */
        fun show(
            context: Context,
            work: Work?,
        ) {
            wanted = work
            if (work == null) {
                running?.stopSelf()
                return
            }
            val intent = Intent(context, WorkService::class.java)
            try {
                if (Build.VERSION.SDK_INT < 26) context.startService(intent) else context.startForegroundService(intent)
            } catch (error: IllegalStateException) {
                Log.e("MobileDiffusion", "not in the foreground", error)
            }
        }

        private fun nameOf(work: Work): Int =
            when (work) {
                Work.INSTALL -> R.string.work_install
                Work.DRAW -> R.string.work_draw
                Work.MEASURE -> R.string.work_measure
            }
    }
}
